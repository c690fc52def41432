#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a file has over 600 lines or a function over 70: it is two files, or two functions."""
import ast
import sys

import checklib

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
C_SUFFIXES = {".c", ".h", ".inc", ".cu", ".cuh", ".cpp", ".hpp"}
SUFFIXES = C_SUFFIXES | {".def", ".py", ".sh"}

# "path" or "path:function" -> the decision record that allows it.
EXCEPTIONS = {}


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno


def functions(path, text):
    if path.suffix in C_SUFFIXES:
        return checklib.c_functions(text)
    return python_functions(text) if path.suffix == ".py" else ()


def main():
    problems = []
    paths = checklib.files(["."], SUFFIXES)
    for path in paths:
        text = checklib.read(path)
        nlines = text.count("\n")
        if nlines > FILE_LINES_MAX and str(path) not in EXCEPTIONS:
            problems.append(f"{path}:{nlines}: {nlines} lines, at most {FILE_LINES_MAX}")
        for name, first, last in functions(path, text):
            length = last - first + 1
            if length > FUNCTION_LINES_MAX and f"{path}:{name}" not in EXCEPTIONS:
                problems.append(f"{path}:{first}: {name} has {length} lines, "
                                f"at most {FUNCTION_LINES_MAX}")
    return checklib.report("check_sizes", problems, len(paths))


if __name__ == "__main__":
    sys.exit(main())
