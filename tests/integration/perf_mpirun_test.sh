#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks that mpirun started.
# usage: perf_mpirun_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

# The table in $out must be one table, of $1 ranks, right.
check_table() {
    [ "$(grep -c '^#  Rank' "$out")" -eq "$1" ] || fail "$2: not a table of $1 ranks"
    [ "$(grep -c '^# Out of bounds values : 0 OK$' "$out")" -eq 1 ] || fail "$2: not one footer"
}

if ! command -v mpirun >/dev/null; then
    echo "SKIP: mpirun is not installed"
    exit 77
fi
if ldd "$bin/all_reduce_perf" | grep -Eq 'lib(a|t)san'; then
    echo "SKIP: sanitizers report on MPI itself"
    exit 77
fi

# Open MPI's ways to run as root and with more ranks than cores; others ignore them.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
mpirun -np 4 "$bin/all_reduce_perf" -b 64 -e 64 -n 3 -T 60 >"$out" 2>"$err" ||
    fail "mpirun -np 4 failed"
check_table 4 "mpirun -np 4"
mpirun -np 2 "$bin/all_gather_perf" -b 64 -e 64 -n 3 -T 60 -t 2 >"$out" 2>"$err" ||
    fail "mpirun -np 2 with -t 2 failed"
check_table 4 "mpirun -np 2 with -t 2"
echo "ok: mpirun"
