#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails on control flow in a macro, a goto that jumps back, and getenv or printing in the library.

The library reads the environment in src/base/config.c and prints in src/base/log.c only.
"""
import re
import sys

import checklib

SUFFIXES = {".c", ".h", ".inc", ".def", ".cu", ".cuh", ".cpp", ".hpp"}
FOLDERS = ("include", "src", "transports", "compat", "bindings", "perf-tests", "examples", "tests")
LIBRARY = ("src", "transports")
FLOW = re.compile(r"\b(return|goto|break|continue)\b")
GETENV = re.compile(r"\b(?:secure_)?getenv\s*\(|\benviron\b")
PRINT = re.compile(r"(?<![\w.>])(?:v?printf|puts|putchar|perror|v?dprintf)\s*\("
                   r"|\b(?:fprintf|vfprintf)\s*\(\s*(?:stderr|stdout)\b"
                   r"|\b(?:fputs|fputc|fwrite)\s*\([^;]*\b(?:stderr|stdout)\b")

# "path" -> the decision record that allows it.
EXCEPTIONS = {}


def macros(lines):
    """(line number, text) of each #define with its continuation lines."""
    number = 0
    while number < len(lines):
        first = number
        if re.match(r"\s*#\s*define\b", lines[number]):
            while lines[number].endswith("\\") and number + 1 < len(lines):
                number += 1
            yield first + 1, " ".join(lines[first:number + 1])
        number += 1


def macro_problems(path, lines):
    for number, text in macros(lines):
        match = FLOW.search(text)
        if match:
            yield f"{path}:{number}: a macro contains {match.group(1)}"


def goto_problems(path, text, lines):
    for name, first, last in checklib.c_functions(text):
        labels = {}
        for number in range(first, last + 1):
            match = re.match(r"\s*(\w+)\s*:(?!:)", lines[number - 1])
            if match and match.group(1) != "default":
                labels[match.group(1)] = number
        for number in range(first, last + 1):
            for label in re.findall(r"\bgoto\s+(\w+)", lines[number - 1]):
                if labels.get(label, number + 1) <= number:
                    yield f"{path}:{number}: {name} jumps back to {label}"


def library_problems(path, lines):
    for number, line in enumerate(lines, 1):
        if GETENV.search(line) and str(path) != "src/base/config.c":
            yield f"{path}:{number}: only src/base/config.c reads the environment"
        if PRINT.search(line) and str(path) != "src/base/log.c":
            yield f"{path}:{number}: only src/base/log.c prints"


def main():
    problems = []
    paths = checklib.files(FOLDERS, SUFFIXES)
    for path in paths:
        if str(path) in EXCEPTIONS:
            continue
        text = checklib.read(path)
        lines = checklib.blank(text).split("\n")
        problems += macro_problems(path, lines)
        problems += goto_problems(path, text, lines)
        if path.parts[0] in LIBRARY:
            problems += library_problems(path, lines)
    return checklib.report("check_macros", problems, len(paths))


if __name__ == "__main__":
    sys.exit(main())
