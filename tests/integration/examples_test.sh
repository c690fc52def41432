#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every example runs and prints what its comment promises.
set -u
bin=$1/../examples

expect() {
    if ! grep -qF "$2" <<<"$1"; then
        echo "expected \"$2\" in: $1"
        exit 1
    fi
}

export MASTER_PORT=$((20000 + $$ % 10000)) WORLD_SIZE=2
out=$(mktemp)
trap 'rm -f "$out"' EXIT
RANK=0 "$bin/01_all_reduce" >"$out" 2>&1 &
text=$(RANK=1 "$bin/01_all_reduce" 2>&1)
wait $! || { echo "rank 0 failed: $(cat "$out")"; exit 1; }
expect "$text" "rank 1 of 2: the sum is 3"
expect "$(cat "$out")" "rank 0 of 2: the sum is 3"
unset MASTER_PORT WORLD_SIZE

expect "$("$bin/02_threads" 2>&1)" "rank 3 has 0 1 2 3"
expect "$("$bin/03_streams" 2>&1)" "the last sum is 1048576 on rank 0 and 1048576 on rank 1"
expect "$("$bin/04_all_to_all_v" 2>&1)" "rank 1 has 0 0 1 1 1 2 2 2 2"
