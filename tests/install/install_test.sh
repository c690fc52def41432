#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs a build into a temporary prefix and uses it as a stranger would.
# usage: install_test.sh BUILD_DIR CMAKE CC SOVERSION
set -euo pipefail

build=$1 cmake=$2 cc=$3 soversion=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

fail() {
    echo "install_test: $*" >&2
    exit 1
}

"$cmake" --install "$build" --prefix "$prefix" >"$work/install.log"
library=$(find "$prefix" -name "libwhorl.so.$soversion")
[ -n "$library" ] || fail "no libwhorl.so.$soversion was installed"
libdir=$(dirname "$library")
for file in result.def dtype.def redop.def version.h whorl.h failure.h; do
    [ -f "$prefix/include/whorl/$file" ] || fail "include/whorl/$file was not installed"
done

echo "== names"
readelf -d "$library" | grep -q "SONAME.*\[libwhorl\.so\.$soversion\]" || fail "wrong SONAME"
exported=$(nm -D --defined-only "$library" | awk '{print $NF}')
strangers=$(grep -v '^whorl_' <<<"$exported" || true)
[ -z "$strangers" ] || fail "exports names that are not whorl_*: $strangers"
# mpi.h is of a library of its own.
declared=$(find "$prefix/include/whorl" -name "*.h" ! -name mpi.h -exec cat {} + | tr '\n' ' ' | grep -o 'WHORL_API [^;(]*(' |
    grep -o 'whorl_[a-z0-9_]*($' | tr -d '(' | sort -u)
[ "$(sort -u <<<"$exported")" = "$declared" ] ||
    fail "the headers and libwhorl.so differ: $(diff <(sort -u <<<"$exported") <(echo "$declared"))"
echo "$(wc -l <<<"$declared") functions declared and exported"

echo "== pkg-config"
if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$libdir/pkgconfig
    flags=$(pkg-config --cflags --libs whorl)
    # shellcheck disable=SC2086
    "$cc" -std=c11 -Wall -Werror "$here/program.c" -o "$work/by_pkg_config" $flags
    LD_LIBRARY_PATH=$libdir "$work/by_pkg_config"
else
    echo "pkg-config is not installed; this part was not tested"
fi

echo "== find_package"
"$cmake" -S "$here/package" -B "$work/package" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" >"$work/configure.log"
"$cmake" --build "$work/package" >"$work/build.log" || { cat "$work/build.log"; fail "no build"; }
"$work/package/with_whorl"
"$work/package/with_whorl_static"
# Not grep -q: it would end before ldd has written all, which then fails.
ldd "$work/package/with_whorl" | grep "$prefix" >"$work/uses.log" || fail "with_whorl uses another libwhorl"

echo "== C++"
cxx=$(command -v c++ || true)
if [ -n "$cxx" ]; then
    "$cxx" -std=c++17 -Wall -Werror -fsyntax-only -I "$prefix/include" -x c++ "$here/program.c"
else
    echo "no C++ compiler; this part was not tested"
fi
