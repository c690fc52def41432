#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks that others started: RANK and WORLD_SIZE by hand, as in two shells.
# usage: perf_launchers_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

# The table in $out must be one table, of $1 ranks, right.
check_table() {
    [ "$(grep -c '^#  Rank' "$out")" -eq "$1" ] || fail "$2: not a table of $1 ranks"
    [ "$(grep -c '^# Out of bounds values : 0 OK$' "$out")" -eq 1 ] || fail "$2: not one footer"
}

# by_hand RANKS ARGUMENTS...: two processes that know only their environment.
by_hand() {
    local ranks=$1 port status=0
    shift
    # Not one that the kernel gives to outgoing connections: other tests run beside this one.
    port=$((20000 + ($$ + ranks) % 10000))
    export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port
    : >"$out"
    : >"$err"
    RANK=1 "$bin/all_reduce_perf" -b 64 -e 64 -n 3 -T 60 "$@" >>"$out" 2>>"$err" &
    local other=$!
    RANK=0 "$bin/all_reduce_perf" -b 64 -e 64 -n 3 -T 60 "$@" >>"$out" 2>>"$err" || status=$?
    wait "$other" || status=$?
    unset WORLD_SIZE MASTER_ADDR MASTER_PORT
    [ "$status" -eq 0 ] || fail "RANK and WORLD_SIZE by hand $*: exit status $status"
    check_table "$ranks" "RANK and WORLD_SIZE by hand $*"
}

by_hand 2
by_hand 8 -t 2 -g 2
echo "ok: RANK and WORLD_SIZE by hand"
