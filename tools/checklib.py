# SPDX-License-Identifier: Apache-2.0
"""What the check_*.py scripts share: finding files, blanking comments, finding functions."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOT_OURS = {"build", ".git", "__pycache__", ".cache"}
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(folders, suffixes):
    """Every file with one of the suffixes below the folders (relative to the root), sorted."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT)
            ours = not any(p in NOT_OURS or p.startswith("build-") for p in inside.parts)
            if ours and path.suffix in suffixes and path.is_file():
                found.add(inside)
    return sorted(found)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def blank(text):
    """C text with comments gone and strings empty; every line keeps its number."""
    def replace(match):
        token = match.group(0)
        if token[0] == "/":
            return " " + "\n" * token.count("\n")
        return token[0] * 2
    return TOKEN.sub(replace, text)


def c_functions(text):
    """(name, first line, last line) of each function, from the line of its name to its brace."""
    lines = blank(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("}"):
            if start is not None:
                yield start[0], start[1], number
            start = None
        elif start is None and opens_body(line):
            start = signature(lines, number)


def opens_body(line):
    return line.startswith("{") or bool(re.match(r"[A-Za-z_].*\)\s*\{", line))


def signature(lines, brace_line):
    """(name, line of the name) of the function whose brace is on brace_line; None if none is."""
    first = brace_line
    while first > 1 and re.match(r"\s|[A-Za-z_{]", lines[first - 1]) and lines[first - 2].strip() \
            and not re.match(r"[}#]|.*;\s*$", lines[first - 2]):
        first -= 1
    for number in range(first, brace_line + 1):
        match = re.search(r"(\w+)\s*\(", lines[number - 1])
        if match and not lines[number - 1].startswith("__attribute__"):
            return match.group(1), number
    return None


def report(name, problems, nfiles):
    """Prints the problems, or one line that says all is well; the exit status."""
    for problem in problems:
        print(problem)
    if nfiles == 0:
        print(f"{name}: found no file to check")
        return 1
    if problems:
        print(f"{name}: {len(problems)} problems in {nfiles} files")
        return 1
    print(f"{name}: {nfiles} files, no problem")
    return 0
