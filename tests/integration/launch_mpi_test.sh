#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Under every MPI that is installed: the binding of bindings/mpi, compiled for that MPI, and
# communicators made from what its mpirun puts into the environment.
# usage: launch_mpi_test.sh FOLDER-OF-PERF-TESTS
set -u
bin=${1:?usage: $0 FOLDER-OF-PERF-TESTS}
build=$(cd "$bin/.." && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset WHORL_RANK WHORL_NRANKS WHORL_ROOT WHORL_SECRET RANK WORLD_SIZE MASTER_ADDR MASTER_PORT
# Open MPI's ways to run as root and with more ranks than cores; others ignore them.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1

fail() {
    echo "FAIL: $*"
    cat "$work/out"
    exit 1
}

# runs STATUS COMMAND...: the command must end with STATUS; its output is in $work/out.
runs() {
    local want=$1 status=0
    shift
    timeout 100 "$@" >"$work/out" 2>&1 </dev/null || status=$?
    [ "$status" -eq "$want" ] || fail "$*: status $status, not $want"
}

# count N PATTERN: N lines of the output match.
count() {
    [ "$(grep -cE "$2" "$work/out")" -eq "$1" ] || fail "not $1 lines like \"$2\""
}

# compile MPICC OUTPUT SOURCES...
compile() {
    local mpicc=$1 output=$2
    shift 2
    runs 0 "$mpicc" -std=gnu11 -Wall -Wextra -Werror -I "$root/bindings/mpi/include" \
        -I "$root/include" -I "$build/include" "$@" "$root/bindings/mpi/whorl_mpi.c" \
        -L "$libdir" -lwhorl "-Wl,-rpath,$libdir" -o "$output"
}

# from_env MPIRUN FLAG: the plain program, which knows nothing of MPI. FLAG precedes NAME VALUE,
# or NAME=VALUE for "-x".
from_env() {
    local mpirun=$1 port=$((20000 + $$ % 10000))
    runs 0 "$mpirun" -np 3 env "WHORL_PORT=$port" "$build/examples/01_all_reduce"
    count 3 'rank [0-2] of 3: the sum is 6$'
}

# try_mpi NAME MPICC MPIRUN
try_mpi() {
    local name=$1 mpicc=$2 mpirun=$3
    echo "== $name: $("$mpirun" --version 2>&1 | grep -m 1 -iE 'openrte|open mpi|version')"
    compile "$mpicc" "$work/checks" "$root/tests/integration/launch_mpi_checks.c"
    compile "$mpicc" "$work/sum" "$root/examples/mpi/sum.c"
    runs 0 "$mpirun" -np 4 "$work/sum"
    count 4 'rank [0-3] of 4: the sum is 10$'
    runs 0 "$mpirun" -np 4 "$work/checks"
    count 4 'rank [0-3] ok$'
    runs 0 "$mpirun" -np 1 env WHORL_BUFFSIZE=much "$work/checks" root : \
        -np 2 "$work/checks" root
    count 3 'rank [0-2] ok$'
    from_env "$mpirun"
    ntried=$((ntried + 1))
}

libdir=$(dirname "$(find "$build" -name libwhorl.so -print -quit)")
if ldd "$bin/all_reduce_perf" | grep -Eq 'lib(a|t|ub)san'; then
    echo "SKIP: sanitizers report on MPI itself"
    exit 77
fi
ntried=0
for name in openmpi mpich; do
    mpicc=$(command -v "mpicc.$name") mpirun=$(command -v "mpirun.$name")
    if [ -n "$mpicc" ] && [ -n "$mpirun" ]; then
        try_mpi "$name" "$mpicc" "$mpirun"
    else
        echo "mpicc.$name and mpirun.$name are not installed"
    fi
done
if [ "$ntried" -eq 0 ] && command -v mpicc >/dev/null && command -v mpirun >/dev/null; then
    try_mpi "the only MPI" mpicc mpirun
fi
if [ "$ntried" -eq 0 ]; then
    echo "SKIP: no MPI is installed"
    exit 77
fi
if [ -x "$build/examples/mpi/mpi_sum" ]; then
    echo "== as built with the library"
    runs 0 mpirun -np 2 "$build/examples/mpi/mpi_sum"
    count 2 'rank [01] of 2: the sum is 3$'
fi
