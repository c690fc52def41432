#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The check of results must see a single changed bit, for every type and reduction and program.
# usage: perf_corrupt_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

# expect_wrong ROWS PROGRAM ARGUMENTS...: exit status 7, and exactly one wrong element per half.
expect_wrong() {
    local rows=$1 program=$2
    shift 2
    "$bin/$program" "$@" --corrupt 5 >"$out" 2>"$err"
    local status=$?
    [ $status -eq 7 ] || fail "$program $* --corrupt 5 exited with $status, not 7"
    awk -v rows="$rows" '
        /^#/ { next }
        { n++; if ($9 != 1 || ($13 != 1 && $13 != "N/A")) { print "not 1 wrong: " $0; bad = 1 } }
        END { exit bad || n != rows }' "$out" || fail "$program: #wrong is not 1 in $rows rows"
    grep -Eq '^# Out of bounds values : [1-9][0-9]* FAILED$' "$out" || fail "$program: no FAILED"
}

# 3 ranks, because avg then allows two units in the last place: the changed bit must be beyond.
expect_wrong 72 all_reduce_perf -b 256 -e 256 -n 1 -P 3 -o all -d all
expect_wrong 12 all_gather_perf -b 256 -e 256 -n 1 -P 2 -d all
expect_wrong 12 reduce_scatter_perf -b 256 -e 256 -n 1 -P 2 -d all
expect_wrong 1 broadcast_perf -b 256 -e 256 -n 1 -P 2
expect_wrong 1 reduce_perf -b 256 -e 256 -n 1 -P 2 -r 1
expect_wrong 1 sendrecv_perf -b 256 -e 256 -n 1 -P 2
expect_wrong 1 all_reduce_perf -b 256 -e 256 -n 1 -t 2
for n in 2 3 4; do
    expect_wrong 12 alltoall_perf -b 256 -e 256 -n 1 -P $n -d all
    expect_wrong 12 alltoallv_perf -b 256 -e 256 -n 1 -P $n -d all
    expect_wrong $n gather_perf -b 256 -e 256 -n 1 -P $n -r all
    expect_wrong $n scatter_perf -b 256 -e 256 -n 1 -P $n -r all
    expect_wrong 1 barrier_perf -n 1 -P $n
done
expect_wrong 12 hypercube_perf -b 256 -e 256 -n 1 -P 4 -d all
expect_wrong 1 hypercube_perf -b 256 -e 256 -n 1 -P 2 -R 2
expect_wrong 1 all_reduce_perf -b 256 -e 256 -n 1 -g 2

# The same runs are right when nothing is changed, so it is the bit that was seen.
"$bin/all_reduce_perf" -b 256 -e 256 -n 1 -P 3 -o all -d all >"$out" 2>"$err" ||
    fail "without --corrupt the run fails too"

# Without a check there is nothing to test.
if "$bin/all_reduce_perf" -b 256 -e 256 -c 0 --corrupt 5 >"$out" 2>"$err"; then
    fail "--corrupt with -c 0 succeeded"
fi
echo "ok: a changed bit is seen in every program, type and reduction"
