#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Several hosts on one machine: network namespaces that are joined by virtual cables and a bridge.
#
# usage: hosts.sh up NAME N [RATE]      makes hosts 0 to N-1; RATE, like 1gbit, limits what each
#                                       sends
#        hosts.sh down NAME             ends what runs in them and removes all of it
#        hosts.sh exec NAME I CMD...    runs CMD in host I
#        hosts.sh addr NAME I [4|6 [K]] prints the address of ethK of host I
#        hosts.sh link NAME I STATE [K] the cable of ethK, 0 unless told; STATE is down: pulled;
#                                       cut: all that it carries is lost; up: as new
#        hosts.sh rail NAME [RATE]      one more interface in every host (eth1, eth2 ...), on a
#                                       bridge of its own
#        hosts.sh list                  prints the NAMEs there are
#        hosts.sh check                 says why it cannot work here, and exits with 77 then
#        hosts.sh --help
#
# Host I is the namespace NAME-I. It has lo and eth0, with 10.X.Y.(I+1)/24 and fd57:X:Y::(I+1)/64,
# where X and Y come from NAME; the numbers after the colons are hexadecimal. The bridge is in
# NAME-net, so nothing of this machine's own network is touched. Needs root and iproute2.
#
#        hosts.sh up demo 2 1gbit
#        hosts.sh exec demo 0 ip address
#        hosts.sh down demo
set -eu

usage() {
    sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"
}

fail() {
    echo "hosts: $*" >&2
    exit 1
}

# The two bytes of the subnet of NAME.
subnet() {
    sum=$(printf %s "$1" | cksum | cut -d' ' -f1)
    echo "$((1 + sum % 254)) $((sum / 254 % 256))"
}

# address NAME RAIL I FAMILY, without the length of the prefix
address() {
    # shellcheck disable=SC2046
    set -- "$2" "$3" "$4" $(subnet "$1")
    if [ "$3" = 6 ] && [ "$1" = 0 ]; then
        printf 'fd57:%x:%x::%x\n' "$4" "$5" $(($2 + 1))
    elif [ "$3" = 6 ]; then
        printf 'fd57:%x:%x:%x::%x\n' "$4" "$5" "$1" $(($2 + 1))
    else
        printf '10.%d.%d.%d\n' "$4" $((($5 + $1) % 256)) $(($2 + 1))
    fi
}

# Every namespace; ip complains of those that are being made or removed meanwhile.
names() {
    ip netns list 2>/dev/null | cut -d' ' -f1
}

# The namespaces of NAME, one a line; also those of an up that did not come to its end.
namespaces() {
    names | grep -E "^$1-([0-9]+|net)\$" || true
}

count_hosts() {
    namespaces "$1" | grep -c -v -e '-net$' || true
}

has_host() {
    names | grep -q -x -e "$1-$2" || fail "there is no host $2 of $1"
}

# limit NAMESPACE INTERFACE RATE. The bucket holds two milliseconds' worth at whole gigabits, and
# always a packet of the largest size; the queue holds more than TCP lets one socket put there.
limit() {
    whole=${3%%[!0-9]*}
    case $3 in
    [0-9]*[gG]bit) burst=$((256 * (whole > 0 ? whole : 1)))k ;;
    *) burst=128k ;;
    esac
    tc -n "$1" qdisc add dev "$2" root tbf rate "$3" burst "$burst" limit 16m
}

# add_rail NAME RAIL N RATE: a bridge, and an interface of every host in it.
add_rail() {
    name=$1 rail=$2 n=$3 rate=$4
    {
        echo "link add br$rail type bridge mcast_snooping 0"
        echo "link set br$rail up"
        i=0
        while [ "$i" -lt "$n" ]; do
            echo "link add port$rail-$i type veth peer name eth$rail netns $name-$i"
            echo "link set port$rail-$i master br$rail up"
            i=$((i + 1))
        done
    } | ip -n "$name-net" -batch -
    i=0
    while [ "$i" -lt "$n" ]; do
        {
            echo "address add $(address "$name" "$rail" "$i" 4)/24 dev eth$rail"
            if [ -e /proc/net/if_inet6 ]; then
                echo "address add $(address "$name" "$rail" "$i" 6)/64 dev eth$rail nodad"
            fi
            echo "link set eth$rail up"
        } | ip -n "$name-$i" -batch -
        [ -z "$rate" ] || limit "$name-$i" "eth$rail" "$rate"
        i=$((i + 1))
    done
}

# Addresses survive a cable that is pulled; the bridge itself has none and says nothing.
set_up_namespace() {
    ip netns add "$1"
    ip -n "$1" link set lo up
    # Linux's own choice, whatever this machine's is: measurements mean the same everywhere.
    ip netns exec "$1" sh -c 'echo cubic >/proc/sys/net/ipv4/tcp_congestion_control' 2>/dev/null ||
        true
    if [ -e /proc/net/if_inet6 ]; then
        # shellcheck disable=SC2016
        ip netns exec "$1" sh -c 'cd /proc/sys/net/ipv6/conf && echo 1 >all/keep_addr_on_down &&
            case $1 in *-net) echo 1 >all/disable_ipv6 && echo 1 >default/disable_ipv6 ;; esac' \
            sh "$1"
    fi
}

up() {
    [ $# = 2 ] || [ $# = 3 ] || fail "up NAME N [RATE]"
    case $2 in
    *[!0-9]* | "" | 0* | ????*) fail "\"$2\" is no number of hosts" ;;
    esac
    [ "$2" -le 250 ] || fail "at most 250 hosts"
    [ -z "$(namespaces "$1")" ] || fail "$1 is there already; hosts.sh down $1 removes it"
    trap 'down "$1"' EXIT
    trap 'exit 1' HUP INT TERM
    set_up_namespace "$1-net"
    host=0
    while [ "$host" -lt "$2" ]; do
        set_up_namespace "$1-$host"
        host=$((host + 1))
    done
    add_rail "$1" 0 "$2" "${3:-}"
    trap - EXIT HUP INT TERM
}

add_next_rail() {
    n=$(count_hosts "$1")
    [ "$n" -gt 0 ] || fail "there are no hosts of $1"
    next=0
    while ip -n "$1-net" link show "br$next" >/dev/null 2>&1; do
        next=$((next + 1))
    done
    add_rail "$1" "$next" "$n" "${2:-}"
}

# Goes on whatever cannot be removed, so that the rest is.
down() {
    for namespace in $(namespaces "$1"); do
        for pid in $(ip netns pids "$namespace" 2>/dev/null); do
            [ "$pid" = $$ ] || kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns delete "$namespace" || true
    done
}

link() {
    has_host "$1" "$2"
    port=port${4:-0}-$2
    case $3 in
    down) ip -n "$1-net" link set "$port" down ;;
    cut) ip -n "$1-net" link set "$port" nomaster ;;
    up) ip -n "$1-net" link set "$port" up master "br${4:-0}" ;;
    *) fail "link NAME I down|cut|up [K], not \"$3\"" ;;
    esac
}

cannot() {
    echo "$*"
    exit 77
}

check() {
    [ "$(id -u)" = 0 ] || cannot "network namespaces need root"
    command -v ip >/dev/null 2>&1 || cannot "there is no ip command (iproute2)"
    command -v tc >/dev/null 2>&1 || cannot "there is no tc command (iproute2)"
    try=whorl-check-$$
    why=$("$0" up "$try" 1 1gbit 2>&1 && "$0" down "$try" 2>&1) ||
        cannot "network namespaces cannot be made here: $(echo "$why" | head -n 1)"
}

PATH=$PATH:/usr/sbin:/sbin
[ $# -gt 0 ] || { usage >&2; exit 2; }
verb=$1
shift
case $verb in
-h | --help | help) usage && exit 0 ;;
check) check && exit 0 ;;
esac
command -v ip >/dev/null 2>&1 || fail "there is no ip command; it is in the package iproute2"
if [ "$verb" != list ]; then
    case ${1:-} in
    *[!A-Za-z0-9_-]* | "" | -*) fail "\"${1:-}\" is no NAME: letters, digits, _ and -" ;;
    esac
fi
case $verb in
list) names | sed -n 's/-net$//p' ;;
up) up "$@" ;;
down) down "$1" ;;
rail) add_next_rail "$@" ;;
link)
    [ $# = 3 ] || [ $# = 4 ] || fail "link NAME I down|cut|up [K]"
    link "$@"
    ;;
addr)
    [ $# -ge 2 ] || fail "addr NAME I [4|6 [K]]"
    has_host "$1" "$2"
    address "$1" "${4:-0}" "$2" "${3:-4}"
    ;;
exec)
    [ $# -ge 3 ] || fail "exec NAME I CMD..."
    has_host "$1" "$2"
    where=$1-$2
    shift 2
    exec ip netns exec "$where" "$@"
    ;;
*) usage >&2 && exit 2 ;;
esac
