#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In place of ssh for the hosts of hosts.py: for compare.py and for the launchers of MPI libraries.
# Each host gets a name of its own, by which libraries tell hosts apart that share a kernel.
# usage: PEERS_HOSTS="NAME ADDRESS..." on_host.sh [-OPTION]... ADDRESS COMMAND...
set -eu

while [ "${1#-}" != "$1" ]; do
    shift
done
address=$1
shift
command=$*
# shellcheck disable=SC2086
set -- $PEERS_HOSTS
name=$1
shift
host=0
while [ $# -gt 0 ] && [ "$1" != "$address" ]; do
    host=$((host + 1))
    shift
done
if [ $# = 0 ]; then
    echo "on_host.sh: $address is none of the hosts $PEERS_HOSTS" >&2
    exit 255
fi
# shellcheck disable=SC2016
exec sh "$(dirname "$0")/../../tools/hosts.sh" exec "$name" "$host" unshare --uts \
    sh -c 'echo "$0" >/proc/sys/kernel/hostname && exec sh -c "$1"' "$name-$host" "$command"
