#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two nodes, eight ranks on each: sbatch job.sh
#SBATCH --job-name=whorl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --time=00:10:00

# Without it everybody on the cluster's network who guesses the job's number can disturb the job.
WHORL_SECRET=$(openssl rand -hex 32)
export WHORL_SECRET

# srun passes the environment on, and says to every task who it is. The ranks meet on the first node,
# at a port made of the numbers of the job and of the step; steps may run side by side.
srun all_reduce_perf -b 8 -e "${LARGEST:-128M}" -f 2
