#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures AllReduce of Whorl and of the MPI that it was built with, in turns, and prints ratios.

usage: compare.py BUILD [-P ranks] [-r rounds] [-e largest size in bytes] [--svg FILE]

A round runs both once. Shown are the medians of the rounds and the median of the ratios round by round;
more than 1 means that Whorl was faster.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

LEAST, FACTOR = 8, 4


def run_whorl(build, options):
    """{bytes: microseconds} of one run of all_reduce_perf."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run(
            [build / "perf-tests/all_reduce_perf", "-b", str(LEAST), "-e", str(options.largest), "-f",
             str(FACTOR), "-P", str(options.ranks), "-w", "20", "-n", str(options.iterations), "-c", "0",
             f"--benchmark_out={out.name}"], check=True, stdout=subprocess.DEVNULL)
        rows = json.load(open(out.name, encoding="utf-8"))["benchmarks"]
    return {int(row["name"].split("/")[3]): row["real_time"] for row in rows
            if row["name"].endswith("/oop")}


def run_mpi(build, options):
    """The same of MPI_Allreduce."""
    text = subprocess.run(
        ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np",
         str(options.ranks), build / "perf-tests/peers/mpi_all_reduce", str(LEAST), str(options.largest),
         str(FACTOR), str(options.iterations)], check=True, capture_output=True, text=True).stdout
    return {int(size): float(us) for size, us in (line.split() for line in text.splitlines())}


def size_text(nbytes):
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= factor:
            return f"{nbytes // factor} {unit}"
    return f"{nbytes} B"


def write_svg(path, rows, ranks):
    """Microseconds over bytes, both logarithmic; rows are (bytes, whorl, mpi, ratio)."""
    width, height, left, top, right, bottom = 720, 380, 70, 40, 20, 50
    low = math.floor(math.log10(min(min(row[1], row[2]) for row in rows)))
    high = math.ceil(math.log10(max(max(row[1], row[2]) for row in rows)))
    first, last = math.log2(rows[0][0]), math.log2(rows[-1][0])

    def x(nbytes):
        return left + (math.log2(nbytes) - first) / (last - first) * (width - left - right)

    def y(us):
        return top + (high - math.log10(us)) / (high - low) * (height - top - bottom)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
           f'<text x="{left}" y="22" font-size="14">AllReduce, float32 sum, {ranks} processes of one '
           'machine: time per operation</text>']
    for power in range(low, high + 1):
        label = {-1: "0.1 µs", 0: "1 µs", 1: "10 µs", 2: "100 µs", 3: "1 ms", 4: "10 ms", 5: "100 ms",
                 6: "1 s"}.get(power, f"1e{power} µs")
        svg.append(f'<line x1="{left}" x2="{width - right}" y1="{y(10 ** power):.1f}" '
                   f'y2="{y(10 ** power):.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{y(10 ** power) + 4:.1f}" text-anchor="end">{label}</text>')
    for row in rows:
        svg.append(f'<text x="{x(row[0]):.1f}" y="{height - bottom + 18}" text-anchor="middle" '
                   f'font-size="10">{size_text(row[0])}</text>')
    for column, (name, colour) in enumerate((("Whorl", "#0a6"), ("Open MPI", "#c33")), start=1):
        points = " ".join(f"{x(row[0]):.1f},{y(row[column]):.1f}" for row in rows)
        svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{left + 20}" y="{top + 4 + 18 * column}" fill="{colour}">{name}</text>')
    pathlib.Path(path).write_text("\n".join(svg) + "\n</svg>\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("-P", dest="ranks", type=int, default=2, help="processes (2)")
    parser.add_argument("-r", dest="rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("-e", dest="largest", type=int, default=8 * 4 ** 11, help="largest size in bytes")
    parser.add_argument("-n", dest="iterations", type=int, default=20, help="iterations per size (20)")
    parser.add_argument("--svg", help="also draw the medians into this file")
    options = parser.parse_args()
    if not (options.build / "perf-tests/peers/mpi_all_reduce").exists():
        print("compare.py: built without MPI; nothing to compare with (make deps installs Open MPI)")
        return 1
    whorl, mpi = [], []
    for _ in range(options.rounds):
        whorl.append(run_whorl(options.build, options))
        mpi.append(run_mpi(options.build, options))
    rows = []
    for size in sorted(whorl[0]):
        ratios = [m[size] / w[size] for w, m in zip(whorl, mpi)]
        rows.append((size, statistics.median(w[size] for w in whorl),
                     statistics.median(m[size] for m in mpi), statistics.median(ratios)))
    print(f"# AllReduce, float sum, out of place, {options.ranks} processes, median of {options.rounds} rounds")
    print(f"{'size':>10} {'Whorl us':>12} {'MPI us':>12} {'MPI / Whorl':>12}")
    for size, ours, theirs, ratio in rows:
        print(f"{size_text(size):>10} {ours:12.2f} {theirs:12.2f} {ratio:12.2f}")
    mean = math.exp(statistics.fmean(math.log(row[3]) for row in rows))
    print(f"{'geometric mean':>36} {mean:12.2f}")
    if options.svg:
        write_svg(options.svg, rows, options.ranks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
