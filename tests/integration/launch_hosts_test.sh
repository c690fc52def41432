#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Jobs of several hosts, which are network namespaces of tools/hosts.sh: whorl-run, variables set by
# hand as PyTorchJob sets them, and mpirun. Instead of ssh a script enters the namespace.
# usage: launch_hosts_test.sh FOLDER-OF-PERF-TESTS
set -u
bin=${1:?usage: $0 FOLDER-OF-PERF-TESTS}
bin=$(cd "$bin" && pwd)
build=$(dirname "$bin")
root=$(cd "$(dirname "$0")/../.." && pwd)
sum=$build/examples/01_all_reduce
hosts="sh $root/tools/hosts.sh"
net=launch$$
unset WHORL_RANK WHORL_NRANKS WHORL_ROOT WHORL_SECRET RANK WORLD_SIZE MASTER_ADDR MASTER_PORT

why=$($hosts check 2>&1) || {
    echo "SKIP: ${why#SKIP: }"
    exit 77
}
work=$(mktemp -d)
cleanup() {
    $hosts down "$net" >/dev/null 2>&1
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "FAIL: $*"
    cat "$work"/out*
    exit 1
}

# runs STATUS COMMAND...: on host 0; the command must end with STATUS.
runs() {
    local want=$1 status=0
    shift
    timeout 60 $hosts exec "$net" 0 "$@" >"$work/out" 2>&1 </dev/null || status=$?
    [ "$status" -eq "$want" ] || fail "$*: status $status, not $want"
}

# count N PATTERN: N lines of the output match.
count() {
    [ "$(cat "$work"/out* | grep -cE -- "$2")" -eq "$1" ] || fail "not $1 lines like \"$2\""
}

$hosts up "$net" 2 || fail "no hosts"
a=$($hosts addr "$net" 0) b=$($hosts addr "$net" 1) b6=$($hosts addr "$net" 1 6)
# ssh HOST COMMAND..., for whorl-run and for mpirun.
cat >"$work/ssh" <<END
#!/bin/sh
while [ "\$1" = -x ]; do shift; done
host=\$1
shift
case \$host in
$a) exec $hosts exec $net 0 sh -c "\$*" ;;
$b | $b6) exec $hosts exec $net 1 sh -c "\$*" ;;
esac
echo "no route to \$host" >&2
exit 255
END
chmod +x "$work/ssh"
run=$build/tools/whorl-run

echo "== whorl-run: this host and another; others only; IPv6"
runs 0 "$run" -H "localhost:2,$b:2" --ssh "$work/ssh" "$sum"
count 4 'of 4: the sum is 10$'
runs 0 "$run" -n 3 -H "$b:2,$a:2" --ssh "$work/ssh" --tag-output "$sum"
count 3 '^\[([0-2])\] rank \1 of 3: the sum is 6$'
runs 0 "$run" -n 2 -H "localhost,[$b6]" --ssh "$work/ssh" "$sum"
count 2 'of 2: the sum is 3$'
runs 0 "$run" -H "localhost:2,$b:2" --ssh "$work/ssh" "$bin/all_reduce_perf" \
    -b 1K -e 64K -f 8 -n 3 -T 50
count 1 '^# Out of bounds values : 0 OK$'

echo "== whorl-run: a rank of the other host fails"
runs 5 "$run" -n 4 -H "localhost:2,$b:2" --ssh "$work/ssh" --grace 1s \
    sh -c '[ "$WHORL_RANK" -ne 3 ] || exit 5; exec sleep 1000'
count 1 "rank 3 on $b ended with status 5"
[ -z "$(ip netns pids "$net-0")$(ip netns pids "$net-1")" ] || fail "something still runs"

echo "== variables of a PyTorchJob, one process per host"
for rank in 0 1; do
    timeout 60 $hosts exec "$net" "$rank" env RANK=$rank WORLD_SIZE=2 MASTER_ADDR="$a" \
        MASTER_PORT=23456 NCCL_SOCKET_IFNAME=eth0 NCCL_IB_DISABLE=0 NCCL_IB_HCA=mlx5_0,mlx5_1 \
        NCCL_IB_GID_INDEX=3 NCCL_NET_GDR_LEVEL=5 NCCL_P2P_LEVEL=SYS WHORL_SECRET=s \
        "$sum" >"$work/out.$rank" 2>&1 &
done
wait -n || fail "a rank failed"
wait -n || fail "a rank failed"
rm "$work/out"
count 2 'of 2: the sum is 3$'
rm "$work"/out.*

echo "== mpirun, without an address and with one; the binding"
if ! mpirun --version 2>/dev/null | grep -qE 'Open MPI|OpenRTE'; then
    echo "mpirun is not Open MPI's; this part was not tested"
    exit 0
fi
if ldd "$bin/all_reduce_perf" | grep -Eq 'lib(a|t|ub)san'; then
    echo "sanitizers report on MPI itself; this part was not tested"
    exit 0
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpi=(mpirun --mca plm_rsh_agent "$work/ssh" --mca orte_keep_fqdn_hostnames 1
    --mca plm_rsh_no_tree_spawn 1 -np 4 -H "$a:2,$b:2")
runs 1 "${mpi[@]}" "$sum"
# mpirun may end the others before they can say so too.
grep -q '^invalid setting: .*by Open MPI on several hosts.*set WHORL_ROOT=host:port' "$work/out" ||
    fail "ranks of mpirun that know no address do not say what to set"
runs 0 "${mpi[@]}" -x "WHORL_ROOT=$a:29555" "$sum"
count 4 'of 4: the sum is 10$'
if [ -x "$build/examples/mpi/mpi_sum" ]; then
    # Both hosts have one name, by which Open MPI takes its own shared memory for usable.
    runs 0 "${mpi[@]}" --mca pml ob1 --mca btl tcp,self "$build/examples/mpi/mpi_sum"
    count 4 'of 4: the sum is 10$'
fi
