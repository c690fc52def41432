#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The JSON of the perf-tests: nccl-tests' schema (-J) and Google Benchmark's.

usage: perf_json_test.py FOLDER-OF-PERF-TESTS
"""
import json
import math
import os
import subprocess
import sys
import tempfile

NUMBER = (int, float)


def fail(text):
    print("FAIL:", text)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


def run(program, *arguments, env=None):
    """Runs a program that must succeed; returns what it printed."""
    command = [os.path.join(sys.argv[1], program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode != 0:
        fail(f"{' '.join(command)} exited with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def check_fields(value, fields, where):
    """Every field must be there and of its type."""
    for name, kind in fields.items():
        check(name in value, f"{where}: no field {name}")
        check(isinstance(value[name], kind), f"{where}: {name} is {value[name]!r}")


def check_nccl_tests(folder):
    path = os.path.join(folder, "run.json")
    arguments = ("-b", "64", "-e", "256", "-f", "2", "-n", "4", "-P", "2", "-J", path)
    env = dict(os.environ, WHORL_SECRET="do not tell")
    run("all_reduce_perf", *arguments, "-I", "1", "-K", "1", env=env)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    check("do not tell" not in text, "the secret is in the JSON file")
    report = json.loads(text)

    check_fields(report, {
        "version": int, "start_time": str, "args": list, "env": list, "nccl_version": str,
        "config": dict, "results": list, "out_of_bounds": dict, "average_bus_bandwidth": dict,
        "errors": list, "end_time": str}, "top")
    check(report["version"] == 3, "version is not 3")
    check(report["args"][1:] == [*arguments, "-I", "1", "-K", "1"], f"args: {report['args']}")
    check(report["errors"] == [], f"errors: {report['errors']}")
    check(report["out_of_bounds"] == {"count": 0, "okay": "true"}, "out_of_bounds")
    check(report["average_bus_bandwidth"]["okay"] == "unchecked", "bandwidth was not asked for")

    config = report["config"]
    check_fields(config, {
        "nthreads": int, "ngpus": int, "minimum_bytes": int, "maximum_bytes": int,
        "step_factor": int, "warmup_iters": int, "iterations": int, "aggregated_iterations": int,
        "validation": int, "graph": int, "blocking_collectives": int, "per_iter_timing": str,
        "per_iter_skip": int, "parallel_init": str, "devices": list}, "config")
    check([device["rank"] for device in config["devices"]] == [0, 1], "devices are not ranks 0, 1")
    for device in config["devices"]:
        check_fields(device, {"rank": int, "group": int, "pid": int, "hostname": str,
                              "device": int, "device_hex": str, "device_info": str}, "device")

    check([row["size"] for row in report["results"]] == [64, 128, 256], "sizes of the results")
    for row in report["results"]:
        check_fields(row, {"size": int, "count": int, "type": str, "redop": str, "root": str,
                           "out_of_place": dict, "in_place": dict, "actual_iterations": int,
                           "experiment_name": str}, "result")
        check(row["count"] * 4 == row["size"], "count of floats")
        for half in ("out_of_place", "in_place"):
            check_fields(row[half], {"time": NUMBER, "alg_bw": NUMBER, "bus_bw": NUMBER,
                                     "nwrong": int}, half)
            check(row[half]["nwrong"] == 0, "nwrong")
            per_iter = row[half + "_per_iter"]
            check(len(per_iter["times_us"]) == 4, "4 iterations do not give 4 times")
            kept = sorted(per_iter["times_us"][1:])
            check(per_iter["skipped_iterations"] == 1, "skipped_iterations")
            check(math.isclose(per_iter["min_us"], kept[0]), "min_us is not the least kept time")
            check(math.isclose(per_iter["max_us"], kept[-1]), "max_us is not the largest")
            check(math.isclose(per_iter["p50"], kept[1]), "p50 of 3 values is not the second")

    run("sendrecv_perf", "-b", "64", "-e", "64", "-P", "2", "-J", path)
    with open(path, encoding="utf-8") as file:
        check(file.read() == text, "an existing file was overwritten")
    with open(path + ".0", encoding="utf-8") as file:
        half = json.load(file)["results"][0]["in_place"]
    check(half["nwrong"] is None, "sendrecv in place is not null")

    path = os.path.join(folder, "none.json")
    run("alltoall_perf", "-b", "64", "-e", "64", "-P", "2", "-R", "2", "-J", path)
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    row = report["results"][0]
    check(report["config"]["local_register"] == 2, "local_register")
    check(row["in_place"] == {"time": 0, "alg_bw": 0, "bus_bw": 0, "nwrong": None},
          f"alltoall, which has no in place, in place: {row['in_place']}")
    mean = report["average_bus_bandwidth"]["bandwidth"]
    check(math.isclose(mean, row["out_of_place"]["bus_bw"], rel_tol=1e-6),
          "what was not run counts for the mean bandwidth")


def check_benchmark(report, where, cycles):
    check_fields(report["context"], {
        "date": str, "host_name": str, "executable": str, "num_cpus": int, "mhz_per_cpu": int,
        "cpu_scaling_enabled": bool, "caches": list, "load_avg": list,
        "library_build_type": str}, where + " context")
    names = [benchmark["name"] for benchmark in report["benchmarks"]]
    once = [f"all_reduce/float/sum/{size}/{half}" for size in (64, 128) for half in ("oop", "ip")]
    check(names == once * cycles, f"{where}: names are {names}")
    for i, benchmark in enumerate(report["benchmarks"]):
        check_fields(benchmark, {
            "family_index": int, "per_family_instance_index": int, "run_name": str,
            "run_type": str, "repetitions": int, "repetition_index": int, "threads": int,
            "iterations": int, "real_time": NUMBER, "cpu_time": NUMBER, "time_unit": str,
            "bytes_per_second": NUMBER, "busbw": NUMBER, "wrong": int}, where)
        check(benchmark["run_type"] == "iteration", where + ": run_type")
        check(benchmark["time_unit"] == "us", where + ": time_unit")
        check(benchmark["repetitions"] == cycles, where + ": repetitions")
        check(benchmark["repetition_index"] == i // len(once), where + ": repetition_index")
        check(benchmark["iterations"] == 12, where + ": 6 iterations of 2 are not 12")
        check(benchmark["real_time"] > 0, where + ": real_time")
        check(benchmark["wrong"] == 0, where + ": wrong")
        seconds = benchmark["real_time"] / 1e6
        size = int(benchmark["name"].split("/")[3])
        check(math.isclose(benchmark["bytes_per_second"], size / seconds, rel_tol=1e-6),
              where + ": bytes_per_second is not size / real_time")


def check_google_benchmark(folder):
    path = os.path.join(folder, "benchmark.json")
    arguments = ("-b", "64", "-e", "128", "-f", "2", "-n", "6", "-m", "2", "-P", "2")
    text = run("all_reduce_perf", *arguments, "-N", "2", "--benchmark_format=json")
    check_benchmark(json.loads(text), "standard output", 2)
    text = run("alltoall_perf", "-b", "64", "-e", "64", "-P", "2", "--benchmark_format=json")
    names = [benchmark["name"] for benchmark in json.loads(text)["benchmarks"]]
    check(names == ["alltoall/float/none/64/oop"], f"names of alltoall are {names}")
    table = run("all_reduce_perf", *arguments, "--benchmark_out=" + path)
    check("# Avg bus bandwidth" in table, "--benchmark_out takes the table away")
    with open(path, encoding="utf-8") as file:
        check_benchmark(json.load(file), "file", 1)


def main():
    if len(sys.argv) != 2:
        fail(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        check_nccl_tests(folder)
        check_google_benchmark(folder)
    print("ok: both kinds of JSON have their fields")


main()
