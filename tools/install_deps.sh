#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Whorl is built with, by apt or dnf; asks for root only when something is missing.
# usage: install_deps.sh [build|test|all|ci]
#   build  compiler, CMake, Ninja, OpenSSL; hwloc, ipsec-mb (optional)  what `make` and `make demo` need
#   test   and Criterion, a C++ compiler, Python, iproute2          what `make check` needs
#   all    and Open MPI, libFuzzer, compare.py, ARM (optional)          what `make deps` installs
#   ci     and MPICH, Slurm, an ssh server (optional)               what .ci/run uses
# What is missing and cannot be had from the distribution's packages is named; only the first group
# is an error, the tests that need the others are skipped with a reason.
set -u

level=${1:-test}
required="" optional=""

# need KIND "APT PACKAGE" "DNF PACKAGE" TEST...: notes a package of KIND if TEST fails.
need() {
    kind=$1 apt_package=$2 dnf_package=$3
    shift 3
    "$@" >/dev/null 2>&1 && return
    package=$apt_package
    [ "$manager" = dnf ] && package=$dnf_package
    if [ "$kind" = required ]; then
        required="$required $package"
    else
        optional="$optional $package"
    fi
}

# has_module NAME: pkg-config knows the library; false also where pkg-config itself is missing.
has_module() {
    pkg-config --exists "$1"
}

# has_fast_gcm: OpenSSL has loops for the widest AES instructions (3.1 on), or ipsec-mb is here, or
# cannot be (it is for x86-64 only).
has_fast_gcm() {
    [ "$(uname -m)" != x86_64 ] || pkg-config --exists 'libcrypto >= 3.1' ||
        test -e /usr/include/intel-ipsec-mb.h
}

# has_libfuzzer: clang can link a fuzzer.
has_libfuzzer() {
    ls /usr/lib/llvm-*/lib/clang/*/lib/linux /usr/lib*/clang/*/lib/* | grep -q libclang_rt.fuzzer
}

# What runs the kernels of 64-bit ARM on another machine.
has_cross_compiler() {
    [ "$(uname -m)" = aarch64 ] || command -v aarch64-linux-gnu-gcc
}
has_cross_libc() {
    [ "$(uname -m)" = aarch64 ] || test -e /usr/aarch64-linux-gnu/lib/libc.a
}
has_emulator() {
    [ "$(uname -m)" = aarch64 ] || command -v qemu-aarch64 || command -v qemu-aarch64-static
}

run_as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "install_deps: not root, and there is no sudo; run as root: $*" >&2
        return 1
    fi
}

install_packages() {
    [ $# -gt 0 ] || return 0
    echo "install_deps: installing $*"
    case $manager in
    apt)
        [ -n "${updated:-}" ] || run_as_root apt-get update -q || true
        updated=yes
        run_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
            --no-install-recommends "$@"
        ;;
    dnf) run_as_root dnf install -q -y "$@" ;;
    *)
        echo "install_deps: no apt-get and no dnf here; please install: $*" >&2
        return 1
        ;;
    esac
}

manager=none
if command -v apt-get >/dev/null 2>&1; then
    manager=apt
elif command -v dnf >/dev/null 2>&1; then
    manager=dnf
fi

need required gcc gcc command -v cc
need required libc6-dev glibc-devel test -e /usr/include/stdio.h
need required make make command -v make
need required cmake cmake command -v cmake
need required ninja-build ninja-build command -v ninja
need required pkg-config pkgconf-pkg-config command -v pkg-config
need required libssl-dev openssl-devel has_module libcrypto
need optional libhwloc-dev hwloc-devel has_module hwloc
need optional libipsec-mb-dev intel-ipsec-mb-devel has_fast_gcm
if [ "$level" != build ]; then
    need required python3 python3 command -v python3
    need optional g++ gcc-c++ command -v c++
    need optional libcriterion-dev criterion-devel has_module criterion
    need optional iproute2 iproute command -v ip
    [ "$manager" != dnf ] || need optional "" iproute-tc command -v tc
fi
if [ "$level" = all ] || [ "$level" = ci ]; then
    need optional openmpi-bin openmpi command -v mpirun
    need optional libopenmpi-dev openmpi-devel command -v mpicc
    need optional clang clang command -v clang
    need optional libbenchmark-tools google-benchmark test -e /usr/share/benchmark/compare.py
    need optional libclang-rt-dev compiler-rt has_libfuzzer
    need optional gcc-aarch64-linux-gnu gcc-aarch64-linux-gnu has_cross_compiler
    # Fedora and its kin have no C library for that compiler under a fixed name.
    [ "$manager" != apt ] || need optional libc6-dev-arm64-cross "" has_cross_libc
    need optional qemu-user qemu-user has_emulator
fi

if [ "$level" = ci ]; then
    need optional mpich mpich command -v mpirun.mpich
    need optional libmpich-dev mpich-devel command -v mpicc.mpich
    need optional slurmctld slurm-slurmctld command -v slurmctld
    need optional slurmd slurm-slurmd command -v slurmd
    need optional slurm-client slurm command -v srun
    need optional munge munge command -v munged
    need optional openssh-server openssh-server test -x /usr/sbin/sshd
    need optional openssh-client openssh-clients command -v ssh
    need optional python3-yaml python3-pyyaml python3 -c "import yaml"
fi

# shellcheck disable=SC2086
install_packages $required || exit 1
for package in $optional; do
    install_packages "$package" ||
        echo "install_deps: $package cannot be installed; what needs it will be skipped" >&2
done
exit 0
