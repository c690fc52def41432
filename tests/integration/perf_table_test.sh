#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The table of the perf-tests must parse as that of nccl-tests does: columns, footer, exit status.
# usage: perf_table_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

# Checks the table in $out: number of rows, reduction, root, "N/A" or 0 wrong in place; "none" if
# there is no in place. The type is float unless a fifth argument says otherwise.
check_table() {
    awk -v rows="$1" -v redop="$2" -v root="$3" -v in_place="$4" -v type="${5:-float}" '
        function bad(why) { print "line " NR ": " why ": " $0; failed = 1 }
        function is_number(text) { return text ~ /^[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?$/ }
        /^#/ { next }
        {
            n++
            if (NF != 13) { bad("13 columns expected, got " NF); next }
            if ($1 !~ /^[0-9]+$/ || $2 !~ /^[0-9]+$/) bad("size and count are no integers")
            if ($3 != type) bad("type is not " type)
            if ($4 != redop) bad("redop is not " redop)
            if ($5 != root) bad("root is not " root)
            for (i = 6; i <= 12; i++) if (i != 9 && !is_number($i)) bad("column " i " is no number")
            if ($6 <= 0) bad("a time is not positive")
            if ($9 != "0") bad("out of place: #wrong is not 0")
            if (in_place == "none") {
                if ($10 != 0 || $11 != 0 || $12 != 0 || $13 != "N/A") bad("there is no in place")
                next
            }
            if ($10 <= 0) bad("a time is not positive")
            if ($13 != in_place) bad("in place: #wrong is not " in_place)
        }
        END {
            if (n != rows) { print n + 0 " rows, not " rows; failed = 1 }
            exit failed
        }' "$out" || fail "the table does not parse"
}

# run PROGRAM ARGUMENTS...: must exit with 0 and print header and footer.
run() {
    local program=$1
    shift
    "$bin/$program" "$@" >"$out" 2>"$err"
    local status=$?
    [ $status -eq 0 ] || fail "$program $* exited with $status"
    grep -q '^# Using devices$' "$out" || fail "no list of devices"
    grep -Eq '^#  Rank +[0-9]+ Group +[0-9]+ Pid +[0-9]+ on +[^ ]+ device +[0-9]+ \[' "$out" ||
        fail "no device parses"
    grep -Eq '^# +size +count +type +redop +root +time +algbw +busbw +#wrong +time +algbw' "$out" ||
        fail "no titles of columns"
    grep -q '^# Out of bounds values : 0 OK$' "$out" || fail "no line 'Out of bounds values : 0 OK'"
    grep -Eq '^# Avg bus bandwidth    : [0-9.e+-]+ *$' "$out" || fail "no line 'Avg bus bandwidth'"
}

sizes=(-b 64 -e 4096 -f 8 -n 3)
run all_reduce_perf "${sizes[@]}" -P 2
check_table 3 sum -1 0
grep -Eq '^ +64 +16 +float +sum +-1 ' "$out" || fail "64 bytes are not 16 elements"
run all_gather_perf "${sizes[@]}" -P 2
check_table 3 none -1 0
grep -Eq '^ +64 +8 +float +none +-1 ' "$out" || fail "64 bytes on 2 ranks are not 8 elements each"
run reduce_scatter_perf "${sizes[@]}" -P 2
check_table 3 sum -1 0
run broadcast_perf "${sizes[@]}" -P 2 -r 1
check_table 3 none 1 0
run reduce_perf "${sizes[@]}" -P 2 -r 1
check_table 3 sum 1 0
run sendrecv_perf "${sizes[@]}" -P 2
check_table 3 none -1 N/A

# The programs whose blocks depend on the number of ranks, with 2, 3 and 4 of them.
for n in 2 3 4; do
    run alltoall_perf "${sizes[@]}" -P $n
    check_table 3 none -1 none
    run alltoallv_perf "${sizes[@]}" -P $n
    check_table 3 none -1 none
    run gather_perf "${sizes[@]}" -P $n -r 1
    check_table 3 none 1 0
    run scatter_perf "${sizes[@]}" -P $n -r 1
    check_table 3 none 1 0
    run barrier_perf "${sizes[@]}" -P $n
    check_table 1 none -1 0 none
done
for n in 1 2 4; do
    run hypercube_perf "${sizes[@]}" -P $n
    check_table 3 none -1 0
done
run alltoall_perf -b 64 -e 64 -n 3 -P 2
grep -Eq '^ +64 +8 +float +none +-1 ' "$out" || fail "64 bytes on 2 ranks are not 8 elements each"
# On 4 ranks a unit is a quarter of the input, so that count and size are those of even blocks.
run alltoallv_perf -b 64 -e 64 -n 3 -P 4
grep -Eq '^ +64 +4 +float +none +-1 ' "$out" || fail "64 bytes on 4 ranks are not 4 elements each"

# Not a power of two: no row, and no failure, as in nccl-tests.
run hypercube_perf "${sizes[@]}" -P 3
check_table 0 none -1 0
grep -q '^# nRanks 3 is not a power of 2, skipping$' "$out" ||
    fail "3 ranks are not said to be skipped"

# Several ranks per thread, several operations per group: phases must not mix, nor must blocks.
for program in alltoall alltoallv gather scatter hypercube barrier; do
    run ${program}_perf -b 4K -e 4K -n 3 -m 3 -P 2 -g 2
done

# Every kind of memory, each with one collective that moves whole buffers and one with blocks.
for memory in 1 2; do
    run all_reduce_perf -b 64 -e 1M -f 128 -n 3 -P 2 -R $memory
    check_table 3 sum -1 0
    run alltoallv_perf -b 64 -e 1M -f 128 -n 3 -t 3 -R $memory
    check_table 3 none -1 none
    run gather_perf -b 64 -e 1M -f 128 -n 3 -P 2 -u 1 -R $memory
    check_table 3 none 0 0
    grep -q "local register: $memory\$" "$out" || fail "-R $memory is not in the header"
done

# One process, one rank; threads; several ranks per thread; a linear sweep.
run all_reduce_perf -b 64 -e 64 -n 3
check_table 1 sum -1 0
run all_reduce_perf -b 1K -e 3K -i 1K -n 3 -t 2 -g 2
check_table 3 sum -1 0
[ "$(grep -c '^#  Rank' "$out")" -eq 4 ] || fail "-t 2 -g 2 does not list 4 ranks"
run all_reduce_perf -b 1K -e 1K -n 3 -P 2 -t 2 -g 2 -p 1
check_table 1 sum -1 0
[ "$(grep -c '^#  Rank' "$out")" -eq 8 ] || fail "-P 2 -t 2 -g 2 does not list 8 ranks"

# Every type with every reduction on 3 ranks, and an unaligned buffer.
"$bin/all_reduce_perf" -b 520 -e 520 -n 1 -P 3 -o all -d all -u 1 >"$out" 2>"$err" ||
    fail "-o all -d all failed"
[ "$(grep -vc '^#' "$out")" -eq 72 ] || fail "12 types and 6 reductions do not make 72 rows"

# Not checked means N/A.
run all_reduce_perf -b 64 -e 64 -n 3 -c 0
awk '!/^#/ && ($9 != "N/A" || $13 != "N/A") { exit 1 }' "$out" || fail "-c 0 does not say N/A"

# Groups of processes are measured apart.
NCCL_TESTS_SPLIT="MOD 2" run all_gather_perf -b 1K -e 1K -n 3 -P 4
grep -Eq '^ +1024 +128 ' "$out" || fail "NCCL_TESTS_SPLIT: 1024 bytes in a group of 2 are not 128"

# Too slow is a failure, with the status of nccl-tests.
WHORL_PERF_MIN_BW=1000000 "$bin/all_reduce_perf" -b 64 -e 64 -n 1 -P 2 >"$out" 2>"$err"
status=$?
[ $status -eq 7 ] || fail "too little bandwidth: exit status $status, not 7"
grep -Eq '^# Avg bus bandwidth    : .* FAILED$' "$out" || fail "too little bandwidth: no FAILED"

# Wrong usage says what and fails.
expect_usage_error() {
    local message=$1
    shift
    if "$bin/all_reduce_perf" "$@" >"$out" 2>"$err"; then
        fail "all_reduce_perf $* succeeded"
    fi
    grep -q -- "$message" "$err" || fail "all_reduce_perf $* did not say: $message"
}
expect_usage_error "invalid option 'q'" -q 1
expect_usage_error "needs a GPU" -G 1
expect_usage_error "should be 0, 1 or 2" -R 3
expect_usage_error "needs a GPU" -x 1
expect_usage_error "invalid sizes" -b 2M -e 1M
expect_usage_error "should be a size" -b 8Q
"$bin/all_reduce_perf" -h >"$out" 2>"$err" || fail "-h failed"
grep -q -- '--stepfactor' "$out" || fail "-h does not list the options"

echo "ok: the tables of all programs parse"
