#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when src/<layer>/<x>.c has no tests/unit/<layer>/<x>_test.c, or a folder no README.md."""
import pathlib
import sys

import checklib

# "path" of a source or a folder -> why it has no mirror.
EXCEPTIONS = {}


def main():
    problems = []
    paths = checklib.files(["src"], {".c"})
    for path in paths:
        inside = path.relative_to("src")
        test = pathlib.Path("tests/unit") / inside.with_name(inside.stem + "_test.c")
        if str(path) not in EXCEPTIONS and not (checklib.ROOT / test).is_file():
            problems.append(f"{path}:1: has no {test}")
    for top in ("src", "transports"):
        for folder in sorted((checklib.ROOT / top).iterdir()):
            inside = folder.relative_to(checklib.ROOT)
            empty = not folder.is_dir() or not any(folder.iterdir())
            if not empty and str(inside) not in EXCEPTIONS and not (folder / "README.md").is_file():
                problems.append(f"{inside}:1: has no README.md")
    return checklib.report("check_mirror", problems, len(paths))


if __name__ == "__main__":
    sys.exit(main())
