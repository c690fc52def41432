#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reduction kernels of 64-bit ARM give the bits of the scalar ones here: both are compiled into
# kernels_checksums.c, by a cross compiler and run by an emulator, and by the compiler of this
# machine.
set -u
build=$1/..
root=$(cd "$(dirname "$0")/../.." && pwd)
compiler=aarch64-linux-gnu-gcc
emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static)

skip() {
    echo "SKIP: $1"
    exit 77
}
command -v $compiler >/dev/null || skip "$compiler is not installed (make deps installs it)"
[ -n "$emulator" ] || skip "qemu-aarch64 is not installed (make deps installs it)"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# compile COMPILER OUTPUT [OPTION...]
compile() {
    with=$1 output=$2
    shift 2
    # Without optimisation for the run time of the compiler; the vector code is vector code anyway.
    "$with" -std=gnu11 -O1 -ffp-contract=off "$@" \
        -I"$root/src" -I"$root/include" -I"$build/include" -o "$output" \
        "$root"/tests/integration/kernels_checksums.c \
        "$root"/src/numeric/reduce_scalar.c "$root"/src/numeric/reduce_neon.c
}

echo 'int main(void) { return 0; }' >"$work/empty.c"
$compiler -static -o "$work/empty" "$work/empty.c" 2>/dev/null ||
    skip "$compiler cannot link (no C library for it)"
compile "${CC:-cc}" "$work/here" || exit 1
compile $compiler "$work/there" -static || exit 1
"$work/here" >"$work/here.txt" || exit 1
"$emulator" "$work/there" >"$work/there.txt" || exit 1

for table in scalar neon; do
    grep "^$table " "$work/there.txt" | sed "s/^$table/scalar/" >"$work/$table.txt"
    if ! diff -u "$work/here.txt" "$work/$table.txt"; then
        echo "the $table table of aarch64 differs from the scalar one here"
        exit 1
    fi
    echo "$table on aarch64: $(wc -l <"$work/$table.txt") kernels, the same bits as here"
done
