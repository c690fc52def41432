#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the checks and the tests of one build and counts every single test.

The last line is "N passed, N failed, N skipped". A Criterion program counts as the tests inside it,
everything else as one. Each skipped test is shown with its reason, failing output in full (by
ctest). Exits with 1 if anything failed, or if there was nothing to run.
"""
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
SYNTHESIS = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+)")
CRITERION_SKIP = re.compile(r"\[SKIP\] (\S+): (.*)")

Tally = collections.namedtuple("Tally", "passed failed skipped")


def run_checks():
    """Runs tools/check_*.py; each is one test."""
    passed = failed = 0
    for script in sorted((ROOT / "tools").glob("check_*.py")):
        ok = subprocess.run([sys.executable, str(script)], cwd=ROOT, check=False).returncode == 0
        passed, failed = passed + ok, failed + (not ok)
    return Tally(passed, failed, 0)


def reason_of(output):
    """What a skipped program said: its last line that starts with SKIP, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no reason given"]
    said = [line for line in lines if line.upper().startswith("SKIP")]
    return re.sub(r"^SKIP\w*:?\s*", "", (said or lines)[-1], flags=re.IGNORECASE)


def count_case(case):
    """The Tally of one ctest entry; prints what was skipped inside it."""
    name, status = case.get("name"), case.get("status")
    output = case.findtext("system-out") or ""
    skipped = case.find("skipped")
    if skipped is not None and "SKIP" in (skipped.get("message") or ""):
        print(f"SKIP {name}: {reason_of(output)}")
        return Tally(0, 0, 1)
    nskipped = 0
    for test, reason in CRITERION_SKIP.findall(output):
        print(f"SKIP {name} {test}: {reason}")
        nskipped += 1
    ran_well = status == "run"
    found = SYNTHESIS.search(output)
    if found is None:
        return Tally(int(ran_well), int(not ran_well), nskipped)
    tested, passed, _ = map(int, found.groups())
    failed = tested - passed
    if failed == 0 and not ran_well:
        failed = 1  # the tests passed, but the program did not: a leak, a timeout, a crash at exit
    return Tally(passed, failed, nskipped)


def run_ctest(build, selection):
    report = build.resolve() / "ctest-report.xml"
    report.unlink(missing_ok=True)
    environment = dict(os.environ, CTEST_OUTPUT_ON_FAILURE="1")
    command = ["ctest", "--test-dir", str(build), "--output-junit", str(report),
               "--test-output-size-passed", "4000000", "--test-output-size-failed", "4000000"]
    status = subprocess.run(command + selection, env=environment, check=False).returncode
    try:
        cases = ElementTree.parse(report).getroot().findall("testcase")
    except (OSError, ElementTree.ParseError) as error:
        print(f"run_tests: ctest left no report that can be read: {error}")
        return Tally(0, 1, 0)
    tallies = [count_case(case) for case in cases]
    total = Tally(*(sum(column) for column in zip(*tallies))) if tallies else Tally(0, 0, 0)
    if status != 0 and total.failed == 0:
        print(f"run_tests: ctest itself failed with status {status}")
        return total._replace(failed=1)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, help="a build folder, such as build/release")
    parser.add_argument("--no-checks", action="store_true", help="only the tests, no tools/check_*")
    options, selection = parser.parse_known_args()  # the rest, such as -R unit, is for ctest
    sys.stdout.reconfigure(line_buffering=True)
    tallies = [run_ctest(options.build, selection)]
    if not options.no_checks:
        tallies.append(run_checks())
    passed, failed, skipped = (sum(column) for column in zip(*tallies))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed > 0 or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
