#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A short run of every fuzz target, with AddressSanitizer and UndefinedBehaviorSanitizer. For a long
# one: NRUNS=10000000 tests/integration/fuzz_test.sh build/release/perf-tests
set -u
build=$(cd "$1/.." && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flags="-std=gnu11 -g -O1 -D_GNU_SOURCE= -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all"
echo 'int LLVMFuzzerTestOneInput(const char *b, unsigned long n); int LLVMFuzzerTestOneInput(const char *b, unsigned long n) { return b && n ? 0 : 0; }' >"$work/probe.c"
# shellcheck disable=SC2086
if ! clang $flags "$work/probe.c" -o "$work/probe" 2>/dev/null; then
    echo "SKIP: no clang with libFuzzer here (make deps installs it)"
    exit 77
fi

include="-I$root/src -I$root/include -I$build/include -I$build/gen"
# The layers that parse. Object files of all of them lie in one folder, so names must differ.
sources=$(cd "$root/src" && ls -d "$PWD"/{base,schedule,algorithms,tuner,bootstrap}/*.c)
status=0
cd "$work" || exit 1
# shellcheck disable=SC2086
clang $flags -fsanitize=fuzzer-no-link $include -c $sources || exit 1
for target in "$root"/tests/fuzz/*_fuzz.c; do
    name=$(basename "$target" .c)
    # shellcheck disable=SC2086
    clang $flags $include "$target" ./*.o -o "$work/$name.bin" -lcrypto -lpthread -lm || exit 1
    if ! "$work/$name.bin" -runs="${NRUNS:-50000}" -max_total_time=60 -max_len=600 >"$work/log" 2>&1; then
        echo "$name found a fault:"
        tail -n 40 "$work/log"
        status=1
    fi
    echo "$name: $(grep -aE '^(Done|#[0-9]+.*DONE)' "$work/log" | tail -n 1)"
done
exit $status
