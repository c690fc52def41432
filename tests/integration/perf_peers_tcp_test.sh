#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make peers-tcp` in small: what its bars make of a run; then Whorl, Open MPI and MPICH between
# network namespaces, which are gone afterwards, after Ctrl-C too.
# usage: perf_peers_tcp_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$bin/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$out" "$err" "$work"' EXIT

# compare ARGUMENTS...: a run of two small sizes; the results are in $work/results-tcp.
compare() {
    rm -rf "$work/results-tcp"
    python3 "$root/perf-tests/peers/compare.py" "$build" --work "$work" --sizes "64 524288" \
        --rounds 2 --burst-ms 0.5 "$@" >"$out" 2>"$err"
}

# holds WHAT EXPRESSION: a statement about the run, as Python sees it.
holds() {
    PYTHONPATH=$root/perf-tests/peers python3 - "$work/results-tcp/run.json" "$2" \
        >>"$out" 2>>"$err" <<'PYTHON' || fail "$1"
import json
import sys

import report

run = json.load(open(sys.argv[1], encoding="utf-8"))
points = run["points"]


def timed(lane):
    """Points at which lane was timed in every round."""
    return [p for p in points if lane in p["samples"] and None not in p["samples"][lane]]


def told(name):
    return name in run["missing"] or any(note.startswith(f"{name},") for note in run["notes"])


sys.exit(0 if eval(sys.argv[2]) else 1)
PYTHON
}

# What the report makes of numbers: of the table of bars, each is met by one run and not by another.
PYTHONPATH=$root/perf-tests/peers python3 - >"$out" 2>"$err" <<'PYTHON' || fail "the bars"
import report
import report_hosts

MIB = 1 << 20


def point(team, nbytes, sent=None, **us):
    return {"coll": "all_reduce", "dtype": "float32", "team": team, "nbytes": nbytes, "wrong": {},
            "samples": {lane.replace("_", "-"): [value] * 3 for lane, value in us.items()},
            "sent": sent or {}}


def verdicts(points):
    return [met for _, _, _, met in report_hosts.bars({"points": points})]


bound_us = 1e6 * 1.5 * 64 * MIB / (1e9 / 8)
good, bad = ([
    point("2x1", 8, whorl=8 * k, exchange=8, openmpi=20, gloo=40),
    point("2x1", 64 * MIB, whorl=10 * k, streams=9, mpich=20, gloo=40, whorl_encrypted=19 * k * k),
    point("2x2", 8, whorl=8 * k, openmpi=15, gloo=25),
    point("4x1", 8, whorl=8 * k, openmpi=15, gloo=25),
    point("4x1@1gbit", 64 * MIB, whorl=bound_us * 1.04 * k, gloo=bound_us * 2),
    point("2x4", 16 * MIB, whorl=10, sent={"whorl": [16 * MIB * k, 16 * MIB]}),
] for k in (1, 2))
assert all(verdicts(good)), report_hosts.bars({"points": good})
assert not any(verdicts(bad)), report_hosts.bars({"points": bad})
assert set(verdicts([])) == {None}
# Who sends less than every AllReduce must did not use the wire, and does not count.
around = point("2x1", MIB, whorl=8, mpich=4, sent={"whorl": [MIB, MIB], "mpich": [MIB, 4096]})
assert report.off_the_wire(around) == ["mpich"] and report.peers_of(around) == []
PYTHON

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    # Root without what makes it root, which can still read this tree wherever it is.
    setpriv --bounding-set=-sys_admin,-net_admin python3 "$root/perf-tests/peers/compare.py" \
        "$build" --work "$work" --hosts 2x1 >"$out" 2>"$err"
    [ $? = 2 ] || fail "without rights: not refused"
    grep -q "^compare.py: --hosts cannot be measured here: network namespaces" "$err" ||
        fail "without rights: no clear message"
fi
why=$(sh "$root/tools/hosts.sh" check) || {
    echo "SKIP: $why"
    exit 77
}

compare --hosts 2x1 --no-whorl --peers "openmpi mpich" || fail "peers alone: exit status $?"
holds "the wire was not timed" "len(timed('exchange')) == len(timed('streams')) == 1"
for name in openmpi mpich; do
    holds "$name is neither timed nor told to be missing" \
        "len(timed('$name')) == 2 or told('$name')"
done
holds "something did not go over the wire" "not any(report.off_the_wire(p) for p in points)"

compare --hosts "2x1 2x2@1gbit" --self || fail "Whorl beside itself: exit status $?"
for lane in whorl whorl-again; do
    holds "$lane was not timed everywhere" "len(timed('$lane')) == 4"
done
holds "something was wrong, failed or did not go over the wire" \
    "not run['failed'] and not any(p['wrong'] or report.off_the_wire(p) for p in points)"
grep -q "^| 512 KiB |" "$work/results-tcp/table.md" || fail "no table"
grep -q "<polyline" "$work/results-tcp/all_reduce_2x1.svg" || fail "no plot"

# Ctrl-C in the middle of a point. (A shell's background job would not hear it.)
python3 - "$root" "$build" "$work" >"$out" 2>"$err" <<'PYTHON' || fail "Ctrl-C"
import glob
import signal
import subprocess
import sys

root, build, work = sys.argv[1:]
compare = subprocess.Popen(
    [sys.executable, f"{root}/perf-tests/peers/compare.py", build, "--work", work, "--hosts", "2x1",
     "--no-whorl", "--peers", "gloo", "--sizes", "64", "--rounds", "100000"],
    stdout=subprocess.PIPE, text=True,
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
try:
    while not glob.glob(f"/dev/shm/peers-of-whorl-{compare.pid}-board-wire-*"):
        assert compare.poll() is None
    compare.send_signal(signal.SIGINT)
    compare.wait(60)
finally:
    compare.kill()
hosts = subprocess.run(["sh", f"{root}/tools/hosts.sh", "list"], stdout=subprocess.PIPE, text=True,
                       check=True).stdout.split()
assert f"peers{compare.pid}" not in hosts, hosts
assert not glob.glob(f"/dev/shm/peers-of-whorl-{compare.pid}-*")
PYTHON
echo "ok: compare.py of perf-tests/peers, over hosts"
