#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks that srun started: a Slurm of this test's own, in a temporary folder, with two nodes that
# are both this machine. Needs root, slurmctld, slurmd, srun and munged.
# usage: launch_slurm_test.sh FOLDER-OF-PERF-TESTS
set -u
bin=${1:?usage: $0 FOLDER-OF-PERF-TESTS}
bin=$(cd "$bin" && pwd)
build=$(dirname "$bin")
sum=$build/examples/01_all_reduce

skip() {
    echo "SKIP: $*"
    exit 77
}

PATH=$PATH:/usr/sbin:/sbin
for program in slurmctld slurmd srun sbatch scontrol munged; do
    command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "slurmd needs root"
for var in $(compgen -e); do
    case $var in SLURM_* | WHORL_* | PMI* | RANK | WORLD_SIZE | MASTER_*) unset "$var" ;; esac
done

work=$(mktemp -d)
chmod 755 "$work"
cleanup() {
    for pid in "$work"/pid.*; do
        [ ! -s "$pid" ] || kill "$(cat "$pid")" 2>/dev/null
    done
    # What still writes into the folder is gone when its daemon is.
    for pid in "$work"/pid.*; do
        for _ in $(seq 50); do
            kill -0 "$(cat "$pid" 2>/dev/null || echo 0)" 2>/dev/null || break
            sleep 0.1
        done
    done
    rm -rf "$work"
}
trap cleanup EXIT

fail() {
    echo "FAIL: $*"
    [ ! -e "$work/out" ] || cat "$work/out"
    tail -n 5 "$work"/log.*
    exit 1
}

# has N PATTERN: N lines of the output match.
has() {
    [ "$(grep -cE -- "$2" "$work/out")" -eq "$1" ] || fail "not $1 lines like \"$2\""
}

# runs STATUS COMMAND...
runs() {
    local want=$1 status=0
    shift
    timeout 60 "$@" >"$work/out" 2>&1 </dev/null || status=$?
    [ "$status" -eq "$want" ] || fail "$*: status $status, not $want"
}

port=$((20000 + $$ % 10000))
ncpus=$(nproc)
mkdir "$work/state" "$work/munge"
chmod 700 "$work/munge"
dd if=/dev/urandom of="$work/munge/key" bs=128 count=1 2>/dev/null
chmod 400 "$work/munge/key"
export SLURM_CONF=$work/slurm.conf
cat >"$SLURM_CONF" <<END
ClusterName=whorltest
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$work/sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmctldPidFile=$work/pid.ctld
SlurmdPidFile=$work/pid.%n
SlurmdSpoolDir=$work/spool.%n
StateSaveLocation=$work/state
SlurmctldLogFile=$work/log.ctld
SlurmdLogFile=$work/log.%n
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MailProg=/bin/true
NodeName=127.0.0.1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$ncpus
NodeName=127.0.0.2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$ncpus
PartitionName=all Nodes=127.0.0.[1-2] Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
END
mkdir "$work/spool.127.0.0.1" "$work/spool.127.0.0.2"
munged --force --socket="$work/sock" --key-file="$work/munge/key" --pid-file="$work/pid.munge" \
    --log-file="$work/log.munge" --seed-file="$work/munge/seed" --num-threads=1 2>"$work/out" ||
    skip "munged does not start: $(cat "$work/out")"
for command in slurmctld "slurmd -N 127.0.0.1" "slurmd -N 127.0.0.2"; do
    # shellcheck disable=SC2086
    timeout 20 $command -f "$SLURM_CONF" >"$work/out" 2>&1 ||
        skip "$command does not start: $(cat "$work/out")"
done
tries=0
until [ "$(timeout 10 sinfo -h -t idle -o %D 2>/dev/null)" = 2 ]; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || skip "the nodes do not come up: $(sinfo 2>&1; tail -n 3 "$work"/log.*)"
    sleep 0.2
done

echo "== srun, one node"
runs 0 srun -N 1 -n 2 -O "$sum"
has 2 'rank [01] of 2: the sum is 3$'

echo "== srun, two nodes: they meet at the first"
runs 0 env WHORL_DEBUG=INFO srun -N 2 -n 4 -O -l "$sum"
has 4 'rank ([0-3]) of 4: the sum is 10$'
has 4 'started by Slurm: rank [0-3] of 4, root at 127\.0\.0\.1:[12][0-9]{4}$'
runs 0 srun -N 2 -n 4 -O --mpi=none "$bin/all_reduce_perf" -b 1K -e 1K -n 2 -T 50
has 1 '^# Out of bounds values : 0 OK$'

echo "== srun --mpi=pmi2"
if srun --mpi=list 2>&1 | grep -q pmi2; then
    runs 0 env WHORL_DEBUG=INFO srun -N 2 -n 4 -O --mpi=pmi2 "$sum"
    has 4 'rank [0-3] of 4: the sum is 10$'
    has 4 'root at 127\.0\.0\.1:[12][0-9]{4}$'
else
    echo "no pmi2 here; this part was not tested"
fi

echo "== steps of one job, side by side; MASTER_ADDR; a batch script's own process"
cat >"$work/batch" <<END
#!/bin/bash
srun --overlap -n 2 -O "$sum" &
srun --overlap -n 2 -O "$sum" &
wait
MASTER_ADDR=127.0.0.1 MASTER_PORT=$((port + 3)) WHORL_DEBUG=INFO srun -n 2 -O "$sum"
"$sum"
END
runs 1 sbatch -W -N 1 -n 2 -O -o "$work/batch.out" "$work/batch"
mv "$work/batch.out" "$work/out"
has 6 'rank [01] of 2: the sum is 3$'
has 2 "root at 127.0.0.1:$((port + 4))\$"
has 1 '^invalid setting: .*start the program in it with srun$'

echo "== whorl-run in a batch script"
cat >"$work/batch" <<END
#!/bin/bash
"$build/tools/whorl-run" -n 3 "$sum"
END
runs 0 sbatch -W -N 1 -n 2 -O -o "$work/batch.out" "$work/batch"
mv "$work/batch.out" "$work/out"
has 3 'rank [0-2] of 3: the sum is 6$'

echo "== examples/slurm"
export LARGEST=1K PATH=$bin:$PATH
runs 0 sbatch -W -N 2 --ntasks-per-node=2 -O -o "$work/batch.out" \
    "$(dirname "$0")/../../examples/slurm/job.sh"
mv "$work/batch.out" "$work/out"
has 1 '^# Out of bounds values : 0 OK$'
has 4 '^#  Rank'
