#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# whorl-run: what ranks get, how jobs end, what is said about mistakes, and other hosts, which are
# this one behind a stand-in for ssh, and behind a real sshd where there is one.
# usage: launch_run_test.sh FOLDER-OF-PERF-TESTS
set -u
bin=${1:?usage: $0 FOLDER-OF-PERF-TESTS}
run=$bin/../tools/whorl-run
sum=$bin/../examples/01_all_reduce
work=$(mktemp -d)
sshd_pid=
cleanup() {
    [ -z "$sshd_pid" ] || kill "$sshd_pid" 2>/dev/null
    for pid in $(pgrep -f -- "$mark"); do # what whorl-run failed to end
        kill -9 "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
mark=whorl-run-test-$$ # on the command line of every sleeper
trap cleanup EXIT
unset WHORL_RANK WHORL_NRANKS WHORL_ROOT WHORL_SECRET RANK WORLD_SIZE MASTER_ADDR MASTER_PORT

fail() {
    echo "FAIL: $*"
    [ ! -e "$work/out" ] || { echo "--- out"; cat "$work/out"; }
    [ ! -e "$work/err" ] || { echo "--- err"; cat "$work/err"; }
    exit 1
}

# try STATUS ARGUMENTS...: whorl-run must end with STATUS; its output is in $work/out and $work/err.
try() {
    local want=$1 status=0
    shift
    timeout 60 "$run" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" -eq "$want" ] || fail "whorl-run $*: status $status, not $want"
}

# has FILE TEXT: the output has this line, or part of a line.
has() {
    grep -qF -- "$2" "$work/$1" || fail "no \"$2\" in standard $1"
}

# until_true COMMAND...: waits until it succeeds.
until_true() {
    for _ in $(seq 200); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.1
    done
    fail "never true: $*"
}

# all_gone NAME...: no process has one of these words on its command line.
all_gone() {
    for name in "$@"; do
        ! pgrep -f -- "$name" >/dev/null || return 1
    done
}

cat >"$work/sleeper" <<'END'
#!/bin/sh
# A rank that stays, with a child of its own. sleeper MARK FOLDER [COMMAND]
[ -z "${3:-}" ] || eval "$3"
echo $$ >"$2/pid.$WHORL_RANK"
tail -f /dev/null --retry "$1" 2>/dev/null &
while :; do sleep 0.1; done
END
cat >"$work/ssh" <<'END'
#!/bin/sh
# Stands in for ssh: the host's command runs here, with nothing of our environment.
echo "$@" >>"$(dirname "$0")/ssh.log"
while [ $# -gt 2 ]; do shift; done
[ "$1" != nowhere ] || { echo "ssh: connect to host nowhere: No route to host" >&2; exit 255; }
exec env -i HOME=/ sh -c "$2"
END
chmod +x "$work/sleeper" "$work/ssh"

echo "== what ranks get"
try 0 -n 3 -x EXTRA=1=2 -x HOME sh -c \
    'echo "$WHORL_RANK/$WHORL_NRANKS/$WHORL_LOCAL_RANK $EXTRA $HOME $WHORL_ROOT $WHORL_SECRET"'
[ "$(sort "$work/out" | cut -d' ' -f1 | tr '\n' ' ')" = "0/3/0 1/3/1 2/3/2 " ] || fail "ranks"
[ "$(cut -d' ' -f2- "$work/out" | sort -u | wc -l)" -eq 1 ] || fail "ranks differ in what is common"
has out " 1=2 $HOME 127.0.0.1:"
first=$(head -n 1 "$work/out" | cut -d' ' -f5)
[[ $first =~ ^[0-9a-f]{64}$ ]] || fail "the secret is \"$first\""
try 0 -n 1 sh -c 'echo "$WHORL_SECRET"'
[ "$(cat "$work/out")" != "$first" ] || fail "two jobs have one secret"
WHORL_SECRET=mine WHORL_ROOT=127.0.0.1:4567 try 0 -n 1 sh -c 'echo "$WHORL_SECRET $WHORL_ROOT"'
has out "mine 127.0.0.1:4567"
try 0 -n 1 "$run" -n 1 sh -c 'echo "$WHORL_SECRET $WHORL_ROOT"' # a job in a job is one of its own
[ "$(wc -w <"$work/out")" -eq 2 ] || fail "a job in a job"
try 0 -n 2 cat # no input, and no waiting for one

echo "== collectives"
try 0 -n 4 "$sum"
[ "$(grep -c 'of 4: the sum is 10$' "$work/out")" -eq 4 ] || fail "the sum of 4 ranks"
# Jobs side by side do not meet.
for i in 1 2 3; do
    timeout 60 "$run" -n 2 "$sum" >"$work/side.$i" 2>&1 &
done
wait
[ "$(cat "$work"/side.* | grep -c 'of 2: the sum is 3$')" -eq 6 ] || fail "$(cat "$work"/side.*)"

echo "== tagged output"
try 0 -n 2 --tag-output sh -c 'echo one; printf "two\n\nno end"; echo err >&2'
for rank in 0 1; do
    [ "$(grep -F "[$rank] " "$work/out" | tr '\n' '|')" = \
        "[$rank] one|[$rank] two|[$rank] |[$rank] no end|" ] || fail "lines of rank $rank"
    has err "[$rank] err"
done
try 0 -n 1 --tag-output sh -c 'head -c 100000 /dev/zero | tr "\0" x'
[ "$(tr -dc x <"$work/out" | wc -c)" -eq 100000 ] || fail "a long line lost something"

echo "== a rank fails"
try 7 -n 3 sh -c "[ \$WHORL_RANK = 1 ] && exit 7; exec '$work/sleeper' $mark '$work'"
has err "rank 1 on localhost ended with status 7"
until_true all_gone "$mark"
try 137 -n 3 sh -c "[ \$WHORL_RANK = 2 ] && kill -9 \$\$; exec '$work/sleeper' $mark '$work'"
has err "rank 2 on localhost was killed by signal 9"
until_true all_gone "$mark"
# One that does not listen to SIGTERM.
try 3 -n 2 --grace 300ms sh -c \
    "if [ \$WHORL_RANK = 1 ]; then until [ -e '$work/deaf' ]; do sleep 0.1; done; exit 3; fi
    exec '$work/sleeper' $mark '$work' \"trap '' TERM; touch '$work/deaf'\""
has err "1 rank did not end within 0.3 s and is killed"
until_true all_gone "$mark"
# A child that a rank leaves behind goes too.
try 0 -n 1 sh -c "'$work/sleeper' $mark '$work' & until [ -e '$work/pid.0' ]; do sleep 0.1; done"
until_true all_gone "$mark"

echo "== time and signals"
try 124 -n 2 --timeout 500ms --grace 1s "$work/sleeper" "$mark" "$work"
has err "not done after 0.5 s (--timeout)"
until_true all_gone "$mark"

# signalled SIGNAL STATUS [HOSTS]: sends it to whorl-run; ranks must see the same.
signalled() {
    rm -f "$work"/pid.* "$work"/saw.*
    # shellcheck disable=SC2016
    env --default-signal=INT "$run" -n 2 ${3:+-H "$3" --ssh "$work/ssh"} \
        "$work/sleeper" "$mark" "$work" \
        "trap 'touch $work/saw.'"'$WHORL_RANK.'"$1'; exit 0' $1" >"$work/out" 2>"$work/err" &
    local pid=$! status=0
    until_true test -s "$work/pid.0" -a -s "$work/pid.1"
    kill -s "$1" "$pid"
    wait "$pid" || status=$?
    [ "$status" -eq "$2" ] || fail "SIG$1: status $status, not $2"
    [ -e "$work/saw.0.$1" ] && [ -e "$work/saw.1.$1" ] || fail "ranks did not see SIG$1"
    until_true all_gone "$mark"
}
signalled INT 130
signalled TERM 143
signalled HUP 129

# killed PATTERN ARGUMENTS...: SIGKILL to the first process whose command line has PATTERN must
# leave nothing of the job behind.
killed() {
    local pattern=$1 pid job
    shift
    rm -f "$work"/pid.*
    "$run" "$@" "$work/sleeper" "$mark" "$work" >"$work/out" 2>"$work/err" &
    job=$!
    pid=$job
    until_true test -s "$work/pid.0" -a -s "$work/pid.1"
    [ "$pattern" = whorl-run ] || pid=$(pgrep -f -- "$pattern" | head -n 1)
    kill -9 "$pid"
    wait "$job" 2>/dev/null
    until_true all_gone "$mark"
}
killed whorl-run -n 2

echo "== mistakes"
try 2 sh; has err "-n is missing"
try 2 -n 0 sh; has err "-n 0: the number of ranks must be from 1 to 65536"
try 2 -n 2x sh; has err "-n 2x"
try 2 -n -1 sh; has err "-n -1"
try 2 -n 2; has err "no program"
try 2 -n 2 --no-such-option sh; has err "whorl-run --help"
try 2 -n 2 --timeout soon sh; has err "soon is no time"
try 2 -n 1 -x NO_SUCH_VARIABLE sh; has err "not set here"
try 2 -n 1 -x =1 sh; has err "no name"
for list in "" a, ,a a:0 a:x 'a:1:2' -oProxyCommand=x 'a;b' "[::1" "[::1]x"; do
    try 2 -n 1 -H "$list" sh
    has err "is no list of hosts"
done
try 2 -n 5 -H a:2,b:2 sh; has err "-n 5, but the hosts of -H have 4 slots"
try 127 -n 2 no-such-program; has err 'cannot run "no-such-program": No such file'
try 126 -n 2 "$work"; has err "Permission denied"
try 0 --help; has out "usage: whorl-run -n N"
try 0 --version; has out "whorl-run "
try 1 --agent; has err "--agent is for whorl-run itself"

echo "== other hosts, behind a stand-in for ssh"
: >"$work/ssh.log"
cd "$work" || exit 1
OTHER=no NCCL_DEBUG=INFO WHORL_SECRET=hush-$$ try 0 -n 5 -H localhost:2,127.0.0.2:2,127.0.0.3:2 \
    --ssh "$work/ssh -v" -x MORE="a b" -- \
    sh -c 'echo "$WHORL_RANK/$WHORL_NRANKS/$WHORL_LOCAL_RANK" \
        "$PWD $MORE $NCCL_DEBUG ${OTHER:-none} $*"' sh "it's" 'a "b"  c'
[ "$(sort "$work/out" | cut -d' ' -f1 | tr '\n' ' ')" = "0/5/0 1/5/1 2/5/0 3/5/1 4/5/0 " ] ||
    fail "ranks on hosts"
[ "$(grep -c "$work a b INFO none it's a \"b\"  c\$" "$work/out")" -eq 3 ] || fail "what agents get"
[ "$(grep -c '^-v 127.0.0.[23] exec ' "$work/ssh.log")" -eq 2 ] || fail "$(cat "$work/ssh.log")"
! grep -q hush "$work/ssh.log" || fail "the secret was on a command line: $(cat "$work/ssh.log")"
try 0 -H 127.0.0.2:2,localhost,127.0.0.2 --ssh "$work/ssh" --tag-output "$sum"
[ "$(grep -cE '^\[([0-3])\] rank \1 of 4: the sum is 10$' "$work/out")" -eq 4 ] || fail "their sum"
try 0 -n 3 -H localhost,127.0.0.2 --ssh "$work/ssh" "$sum"
[ "$(grep -c 'of 3: the sum is 6$' "$work/out")" -eq 3 ] || fail "the sum with this host first"

try 255 -n 2 -H localhost,nowhere --ssh "$work/ssh" "$work/sleeper" "$mark" "$work"
has err "host nowhere cannot be reached"
until_true all_gone "$mark"
try 255 -n 2 -H localhost,other --ssh "$work/no-such-ssh" "$work/sleeper" "$mark" "$work"
has err "no-such-ssh\": No such file"
until_true all_gone "$mark"
try 127 -n 2 -H 127.0.0.2,127.0.0.3 --ssh "$work/ssh" no-such-program
has err '127.0.0.2: cannot run "no-such-program": No such file'
try 9 -n 4 -H localhost:2,127.0.0.2:2 --ssh "$work/ssh" \
    sh -c "[ \$WHORL_RANK = 3 ] && exit 9; exec '$work/sleeper' $mark '$work'"
has err "rank 3 on 127.0.0.2 ended with status 9"
until_true all_gone "$mark"
signalled TERM 143 localhost,127.0.0.2
killed whorl-run -n 2 -H localhost,127.0.0.2 --ssh "$work/ssh"
killed "whorl-run --agent" -n 2 -H localhost,127.0.0.2 --ssh "$work/ssh"

echo "== other hosts, behind sshd"
sshd=$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null)
if [ -z "$sshd" ] || ! command -v ssh-keygen >/dev/null; then
    echo "no sshd is installed; this part was not tested"
    exit 0
fi
port=$((20000 + $$ % 10000))
ssh-keygen -q -t ed25519 -N "" -f "$work/host_key"
ssh-keygen -q -t ed25519 -N "" -f "$work/user_key"
cp "$work/user_key.pub" "$work/authorized_keys"
[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
"$sshd" -D -e -f /dev/null -p "$port" -o ListenAddress=127.0.0.2 -o "HostKey=$work/host_key" \
    -o "AuthorizedKeysFile=$work/authorized_keys" -o StrictModes=no -o UsePAM=no \
    -o PermitRootLogin=yes -o PidFile=none 2>"$work/sshd.log" &
sshd_pid=$!
ssh="ssh -F /dev/null -p $port -i $work/user_key -o IdentitiesOnly=yes -o BatchMode=yes
-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
ssh=$(tr '\n' ' ' <<<"$ssh")
tries=0
until $ssh 127.0.0.2 true 2>"$work/err"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 20 ]; then
        echo "no login through sshd here; this part was not tested:"
        cat "$work/err" "$work/sshd.log"
        exit 0
    fi
    sleep 0.2
done
try 0 -n 4 -H 127.0.0.2:2,localhost:2 --ssh "$ssh" --tag-output "$sum"
[ "$(grep -cE '^\[([0-3])\] rank \1 of 4: the sum is 10$' "$work/out")" -eq 4 ] || fail "over ssh"
try 9 -n 2 -H localhost,127.0.0.2 --ssh "$ssh" \
    sh -c "[ \$WHORL_RANK = 1 ] && exit 9; exec '$work/sleeper' $mark '$work'"
killed whorl-run -n 2 -H localhost,127.0.0.2 --ssh "$ssh"
kill "$sshd_pid"
wait "$sshd_pid" 2>/dev/null
sshd_pid=
try 255 -n 2 -H localhost,127.0.0.2 --ssh "$ssh" "$work/sleeper" "$mark" "$work"
has err "host 127.0.0.2 cannot be reached"
until_true all_gone "$mark"
