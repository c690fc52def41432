#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a file includes a layer that docs/layers.txt does not allow it to see."""
import re
import sys

import checklib

SUFFIXES = {".c", ".h", ".inc", ".def", ".cu", ".cuh", ".cpp", ".hpp"}
USERS = ("compat", "bindings", "perf-tests", "examples")
INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')


def read_rules():
    rules = {}
    for line in checklib.read("docs/layers.txt").splitlines():
        if line.strip() and not line.startswith("#"):
            layer, _, seen = line.partition(":")
            rules[layer.strip()] = set(seen.split()) | {layer.strip()}
    return rules


def layer_of(path, rules):
    """The layer a file belongs to; None if it may include everything."""
    top = path.parts[0]
    if top == "src":
        return path.parts[1] if path.parts[1] in rules else "unknown"
    if top == "include" or (top in USERS and path.parts[:2] != ("perf-tests", "micro")):
        return "users"
    return "transports" if top == "transports" else None


def problem_of(layer, quote, target, rules):
    """Why layer may not include target; None if it may."""
    first = target.split("/")[0]
    if ".." in target.split("/"):
        return f'"{target}": write the path from src/'
    if first in rules:
        allowed = first in rules[layer] or target in rules[layer]
        return None if allowed else f"{layer} may not include {target}"
    if quote == '"' and layer not in ("users", "transports"):
        return f'"{target}": write the path from src/'
    return None


def main():
    rules = read_rules()
    problems = []
    paths = checklib.files(("src", "transports", "include") + USERS, SUFFIXES)
    for path in paths:
        layer = layer_of(path, rules)
        if layer == "unknown":
            problems.append(f"{path}:1: this folder is no layer of docs/layers.txt")
        if layer in (None, "unknown"):
            continue
        for number, line in enumerate(checklib.read(path).splitlines(), 1):
            match = INCLUDE.match(line)
            why = problem_of(layer, *match.groups(), rules) if match else None
            if why:
                problems.append(f"{path}:{number}: {why}")
    return checklib.report("check_layers", problems, len(paths))


if __name__ == "__main__":
    sys.exit(main())
