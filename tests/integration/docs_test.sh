#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reference pages that are checked in are what the library's tables say.
set -u
bin=$1/../tools
root=$(cd "$(dirname "$0")/../.." && pwd)
status=0
for page in config results log algorithms; do
    if ! "$bin/gen_docs" "$page" | diff -u "$root/docs/reference/$page.md" -; then
        echo "docs/reference/$page.md is not what the tables say: run make docs"
        status=1
    fi
done
exit $status
