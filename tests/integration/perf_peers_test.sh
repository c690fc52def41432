#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make peers` in small: Whorl beside itself, beside the MPIs of the system, and with wrong results.
# usage: perf_peers_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

peers=$(cd "$(dirname "$0")/../../perf-tests/peers" && pwd)
build=$(cd "$bin/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$out" "$err" "$work"' EXIT

# compare ARGUMENTS...: a run of two small sizes; the results are in $work/results.
compare() {
    rm -rf "$work/results"
    python3 "$peers/compare.py" "$build" --work "$work" --nranks 2 --sizes "64 40K" --rounds 2 \
        --burst-ms 0.5 "$@" >"$out" 2>"$err"
}

# holds WHAT EXPRESSION: a statement about the run, as Python sees it.
holds() {
    python3 - "$work/results/run.json" "$2" >>"$out" 2>>"$err" <<'PYTHON' || fail "$1"
import json
import sys

run = json.load(open(sys.argv[1], encoding="utf-8"))
points = run["points"]
lanes = {lane for p in points for lane in p["samples"]}


def timed(lane):
    """Points at which lane was timed in every round."""
    return [p for p in points if lane in p["samples"] and None not in p["samples"][lane]]


sys.exit(0 if eval(sys.argv[2]) else 1)
PYTHON
}

compare --self || fail "beside itself: exit status $?"
for lane in whorl whorl-again whorl-symmetric; do
    # Five collectives with two sizes, and the one point in bfloat16.
    holds "$lane was not timed everywhere" "len(timed('$lane')) == 11"
done
holds "the machine's floor is missing" "len(timed('floor')) == 1 and len(timed('ping-pong')) == 1"
holds "something was wrong or failed" \
    "not run['failed'] and not any(p['wrong'] for p in points)"
grep -q "^| 40 KiB |" "$work/results/table.md" || fail "no table"
grep -q "<polyline" "$work/results/all_reduce_2.svg" || fail "no plot"

compare --self --no-refresh --ops "all_reduce broadcast" || fail "without refreshing"
holds "without refreshing: not timed" "len(timed('whorl')) == 5"

compare --self --corrupt --ops all_reduce && fail "wrong results are a success"
grep -q "WRONG RESULTS: whorl-corrupt" "$out" || fail "wrong results are not told"
holds "a wrong result counts" "all(p['wrong'].get('whorl-corrupt') for p in points)"

compare --peers "openmpi mpich" --ops "all_reduce all_to_all" || fail "beside MPI: exit status $?"
for name in openmpi mpich; do
    holds "$name is neither timed nor told to be missing" \
        "len(timed('$name')) == 4 or '$name' in run['missing'] or any(n.startswith('$name,') for n in run['notes'])"
done
echo "ok: compare.py of perf-tests/peers"
