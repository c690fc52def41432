#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A process of a -P run that dies must end the run with a message that names it, and -T must end a
# run that would go on for ever.
# usage: perf_death_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

"$bin/all_reduce_perf" -b 64 -e 64 -n 5 -P 3 -N 0 >"$out" 2>"$err" &
parent=$!

# The first row shows that all processes are at work. The table names them.
for _ in $(seq 300); do
    grep -Eq '^ +64 ' "$out" && break
    sleep 0.1
done
grep -Eq '^ +64 ' "$out" || fail "no row in 30 s"
victim=$(awk '/^#  Rank +1 / { print $7 }' "$out")
[ -n "$victim" ] || fail "rank 1 is not in the list of devices"
kill -9 "$victim" || fail "cannot kill process $victim"

wait "$parent"
status=$?
parent=
[ $status -ne 0 ] || fail "the run succeeded although rank 1 was killed"
grep -q 'process 1 (rank 1) was killed by signal 9' "$err" || fail "the dead process is not named"
grep '^#  Rank' "$out" | awk '{ print $7 }' | while read -r pid; do
    if kill -0 "$pid" 2>/dev/null; then
        echo "process $pid is still there"
        exit 1
    fi
done || fail "a process survived the run"

"$bin/all_reduce_perf" -b 64 -e 64 -n 5 -P 2 -N 0 -T 1 >"$out" 2>"$err"
status=$?
[ $status -eq 4 ] || fail "-T 1 ended with exit status $status, not 4"
grep -q 'timeout' "$err" || fail "-T 1 does not say timeout"
echo "ok: a killed process and a timeout end the run and are named"
