# SPDX-License-Identifier: Apache-2.0
# What the scripts that test the perf-tests share; sourced with the folder of the programs as $1.
set -u
bin=${1:?usage: $0 FOLDER-OF-PERF-TESTS}
out=$(mktemp)
err=$(mktemp)
trap 'rm -f "$out" "$err"' EXIT

# fail MESSAGE...: ends the test, with what the program printed into $out and $err.
fail() {
    echo "FAIL: $*"
    echo "--- standard output"
    cat "$out"
    echo "--- standard error"
    cat "$err"
    exit 1
}
