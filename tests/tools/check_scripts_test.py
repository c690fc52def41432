#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one fault after the other in a small tree; the check scripts must find just that."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLEAN = {
    "src/base/log.c": "void wh_log(void)\n{\n    fprintf(stderr, \"x\");\n}\n",
    "src/base/config.c": "void wh_config(void)\n{\n    getenv(\"X\");\n}\n",
    "src/wire/wire.c": "#include \"wire/wire.h\"\n#include \"base/log.h\"\n\n"
                       "int wh_wire(int a)\n{\n    /* return getenv(), printf() */\n"
                       "    if (a) {\n        goto undo;\n    }\nundo:\n    return a;\n}\n",
    "transports/shm/shm.c": "#include \"wire/transport.h\"\n#include \"base/log.h\"\n",
    "examples/one.c": "#include <whorl/whorl.h>\n",
    "perf-tests/micro/reduce.c": "#include \"numeric/reduce.h\"\n",
}
FOLDERS = ("src/base", "src/wire", "transports/shm")
LONG = "int wh_long(int a)\n{\n" + "    a++;\n" * 67 + "    return a;\n}\n"

# script, file, what is put into it, what must be said
FAULTS = [
    ("check_layers", "src/wire/a.c", '#include "comm/comm.h"\n', "wire may not include comm"),
    ("check_layers", "src/wire/a.c", "#include <comm/comm.h>\n", "wire may not include comm"),
    ("check_layers", "src/wire/a.c", '#include "wire.h"\n', "write the path from src/"),
    ("check_layers", "src/base/a.h", '#include "../wire/wire.h"\n', "write the path from src/"),
    ("check_layers", "src/other/a.c", "int a;\n", "no layer of docs/layers.txt"),
    ("check_layers", "transports/shm/a.c", '#include "wire/wire.h"\n', "transports may not"),
    ("check_layers", "examples/a.c", '#include "base/log.h"\n', "users may not include base"),
    ("check_layers", "perf-tests/a.c", '#include "base/log.h"\n', "users may not include base"),
    ("check_sizes", "src/wire/a.h", "int a;\n" * 601, "601 lines"),
    ("check_sizes", "src/wire/a.c", LONG, "wh_long has 71 lines"),
    ("check_sizes", "tools/a.py", "def long():\n" + "    pass\n" * 70, "long has 71 lines"),
    ("check_macros", "src/wire/a.h", "#define A(x) \\\n    return x\n", "contains return"),
    ("check_macros", "tests/a.h", "#define A(x) if (x) break\n", "contains break"),
    ("check_macros", "src/wire/a.c", 'void f(void)\n{\n    getenv("A");\n}\n', "environment"),
    ("check_macros", "src/wire/a.c", 'void f(void)\n{\n    printf("A");\n}\n', "only src/base/log"),
    ("check_macros", "transports/shm/a.c", "void f(void)\n{\n    fputs(a, stderr);\n}\n", "log.c"),
    ("check_macros", "src/wire/a.c", "void f(void)\n{\nup:\n    goto up;\n}\n", "jumps back to up"),
    ("check_mirror", "src/wire/a.c", "int a;\n", "has no tests/unit/wire/a_test.c"),
    ("check_mirror", "transports/tcp/a.c", "int a;\n", "transports/tcp:1: has no README.md"),
]


def plant(tree, path, text):
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text)


def make_tree(tree):
    for source in ("tools", "docs"):
        (tree / source).mkdir()
    for script in (ROOT / "tools").glob("check*.py"):
        shutil.copy(script, tree / "tools")
    shutil.copy(ROOT / "docs/layers.txt", tree / "docs")
    for path, text in CLEAN.items():
        plant(tree, path, text)
        if path.startswith("src/"):
            plant(tree, path.replace("src/", "tests/unit/").replace(".c", "_test.c"), "int a;\n")
    for folder in FOLDERS:
        plant(tree, f"{folder}/README.md", "What this is for.\n")


def run(tree, script):
    done = subprocess.run([sys.executable, str(tree / "tools" / f"{script}.py")], check=False,
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        make_tree(tree)
        for script in sorted({fault[0] for fault in FAULTS}):
            status, said = run(tree, script)
            if status != 0:
                failures.append(f"{script} complains about a clean tree:\n{said}")
        for script, path, text, expected in FAULTS:
            plant(tree, path, text)
            status, said = run(tree, script)
            found = status != 0 and expected in said and path.rsplit("/", 1)[0] in said
            if not found or "1 problems" not in said:
                failures.append(f"{script}: {path}, {text[:60]!r}: status {status}, said:\n{said}")
            (tree / path).unlink()
            if (tree / path).parent.name in ("other", "tcp"):
                (tree / path).parent.rmdir()
    for failure in failures:
        print(failure)
    print(f"{len(FAULTS)} faults planted, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
