#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Google Benchmark's compare.py accepts what --benchmark_out writes.
# usage: perf_compare_test.sh FOLDER-OF-PERF-TESTS
. "$(dirname "$0")/perf_common.sh"

compare=/usr/share/benchmark/compare.py
if [ ! -f "$compare" ] || ! python3 -c 'import scipy' 2>/dev/null; then
    echo "SKIP: no compare.py with SciPy here (packages libbenchmark-tools and python3-scipy)"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$out" "$err" "$work"' EXIT
for i in 1 2; do
    "$bin/all_reduce_perf" -b 64 -e 128 -f 2 -P 2 -n 5 --benchmark_out="$work/$i.json" >"$out" 2>"$err" ||
        fail "all_reduce_perf --benchmark_out"
done
python3 "$compare" benchmarks "$work/1.json" "$work/2.json" >"$out" 2>"$err" || fail "compare.py refused"
for name in 64/oop 64/ip 128/oop 128/ip; do
    grep -q "all_reduce/float/sum/$name" "$out" || fail "compare.py shows no $name"
done
echo "ok: compare.py"
