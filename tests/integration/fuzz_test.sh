#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A short run of every fuzz target, with AddressSanitizer and UndefinedBehaviorSanitizer. For a long
# one: SECONDS_EACH=600 tests/integration/fuzz_test.sh build/release/perf-tests
set -u
build=$(cd "$1/.." && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flags="-std=gnu11 -gline-tables-only -O1 -D_GNU_SOURCE= -fsanitize=address,undefined -fno-sanitize-recover=all"
echo 'int LLVMFuzzerTestOneInput(const char *b, unsigned long n); int LLVMFuzzerTestOneInput(const char *b, unsigned long n) { return b && n ? 0 : 0; }' >"$work/probe.c"
# shellcheck disable=SC2086
if ! clang $flags -fsanitize=fuzzer "$work/probe.c" -o "$work/probe" 2>/dev/null; then
    echo "SKIP: no clang with libFuzzer here (make deps installs it)"
    exit 77
fi

include="-I$root/src -I$root/include -I$root/transports/tcp -I$build/include -I$build/gen"
libraries="-lcrypto -lpthread -lm"
if pkg-config --exists hwloc 2>/dev/null; then
    flags="$flags -DWHORL_HAVE_HWLOC=1"
    libraries="$libraries $(pkg-config --libs hwloc)"
fi

# What parses, and what that stands on. In an archive: each target takes what it uses. Object files
# of all folders lie in one, so names must differ.
sources=$(cd "$root/src" && ls "$PWD"/{base,schedule,algorithms,tuner}/*.c \
    "$PWD"/bootstrap/*.c "$PWD"/comm/{launch,members,status}.c "$PWD"/executor/signature.c \
    "$PWD"/numeric/dtype.c "$PWD"/topology/place.c "$PWD"/wire/choose.c \
    "$root"/transports/tcp/tcp_frame.c) || exit 1
cd "$work" || exit 1
# shellcheck disable=SC2086
echo "$sources" | xargs -P "$(nproc)" -n 8 clang $flags -fsanitize=fuzzer-no-link $include -c || exit 1
ar rcs parsers.a ./*.o

# Builds one target and runs it; false if it found a fault.
fuzz() {
    local name rc=0
    name=$(basename "$1" .c)
    # shellcheck disable=SC2086
    clang $flags -fsanitize=fuzzer $include "$1" parsers.a -o "$name.bin" $libraries || return 1
    mkdir "$name.found"
    "./$name.bin" -max_total_time="${SECONDS_EACH:-2}" -max_len=4096 -timeout=20 \
        "$name.found" >"$name.log" 2>&1 || rc=1
    if [ $rc -ne 0 ]; then
        echo "$name found a fault:"
        tail -n 40 "$name.log"
    fi
    echo "$name: $(grep -aE '^(Done|#[0-9]+.*DONE)' "$name.log" | tail -n 1)"
    return $rc
}
export -f fuzz
export flags include libraries
printf '%s\0' "$root"/tests/fuzz/*_fuzz.c | xargs -0 -P "$(nproc)" -n 1 bash -c 'fuzz "$1"' fuzz || exit 1
