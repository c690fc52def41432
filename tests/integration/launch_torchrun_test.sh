#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks that torchrun started, alone and beside torch.distributed, whose store has MASTER_PORT.
# torchrun is looked for in PATH and among the peers of `make peers-deps`.
# usage: launch_torchrun_test.sh FOLDER-OF-PERF-TESTS
set -u
bin=${1:?usage: $0 FOLDER-OF-PERF-TESTS}
build=$(cd "$bin/.." && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
sum=$build/examples/01_all_reduce
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset WHORL_RANK WHORL_NRANKS WHORL_ROOT WHORL_SECRET RANK WORLD_SIZE MASTER_ADDR MASTER_PORT
export OMP_NUM_THREADS=1

fail() {
    echo "FAIL: $*"
    cat "$work"/out*
    exit 1
}

# has N PATTERN: N lines of the output match.
has() {
    [ "$(cat "$work"/out* | grep -cE -- "$2")" -eq "$1" ] || fail "not $1 lines like \"$2\""
}

if ldd "$bin/all_reduce_perf" | grep -Eq 'lib(a|t|ub)san'; then
    echo "SKIP: sanitizers cannot be loaded into Python"
    exit 77
fi
torchrun=$(command -v torchrun ||
    ls "$root"/build/peers/venv/*/bin/torchrun 2>/dev/null | head -n 1)
if [ -z "$torchrun" ]; then
    echo "SKIP: no torchrun is installed (make peers-deps PEERS=gloo gets one)"
    exit 77
fi
python=$(dirname "$torchrun")/python3
port=$((20000 + $$ % 10000))

cat >"$work/both.py" <<'END'
"""torch.distributed and Whorl in one process, as a framework with two libraries has them."""
import ctypes
import os
import sys

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
value = torch.ones(1)
dist.all_reduce(value)
whorl = ctypes.CDLL(sys.argv[1])
whorl.whorl_last_error.restype = ctypes.c_char_p
comm = ctypes.c_void_p()
rc = whorl.whorl_comm_create_from_env(None, ctypes.byref(comm))
assert rc == 0, whorl.whorl_last_error(None)
size = ctypes.c_int()
assert whorl.whorl_comm_size(comm, ctypes.byref(size)) == 0
assert size.value == int(value.item()) == int(os.environ["WORLD_SIZE"])
assert whorl.whorl_comm_destroy(comm) == 0
dist.destroy_process_group()
print(f"both libraries have {size.value} ranks", flush=True)
END

echo "== torchrun, one node"
timeout 100 "$torchrun" --standalone --nproc_per_node 2 --no-python "$sum" >"$work/out" 2>&1 ||
    fail "torchrun --standalone"
has 2 'rank [01] of 2: the sum is 3$'

echo "== torchrun, two agents"
for node in 0 1; do
    WHORL_DEBUG=INFO timeout 100 "$torchrun" --nnodes 2 --node_rank $node --nproc_per_node 1 \
        --master_addr 127.0.0.1 --master_port "$port" --no-python "$sum" \
        >"$work/out.$node" 2>&1 &
done
wait %1 || fail "agent 0"
wait %2 || fail "agent 1"
rm -f "$work/out"
has 2 'rank [01] of 2: the sum is 3$'
has 2 "started by torchrun: rank [01] of 2, root at 127.0.0.1:$((port + 1))\$"
rm -f "$work"/out.*

library=$(find "$build" -name libwhorl.so -print -quit)
echo "== beside torch.distributed, under torchrun"
timeout 200 "$torchrun" --nproc_per_node 2 --master_addr 127.0.0.1 --master_port $((port + 2)) \
    "$work/both.py" "$library" >"$work/out" 2>&1 || fail "torchrun both.py"
has 2 'both libraries have 2 ranks$'

echo "== beside torch.distributed, which is started by hand and has its store at rank 0"
export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((port + 4))
RANK=1 timeout 100 "$python" "$work/both.py" "$library" >"$work/out.1" 2>&1 &
RANK=0 timeout 100 "$python" "$work/both.py" "$library" >"$work/out" 2>&1 || fail "rank 0"
wait $! || fail "rank 1"
has 2 'both libraries have 2 ranks$'
