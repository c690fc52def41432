#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Whorl and the collective libraries found here side by side, and prints ratios.

All programs run side by side, asleep but for the one whose turn it is (board.h). At a point
(collective, type, ranks, size) every program is asked for one short burst of operations per round,
in a new random order each round, so that whatever the machine does in the meantime hits all alike.
How a burst is timed and checked is told in peer.c. Ratios are taken round by round.

Rounds are spread over a few launches of all programs, since some of what decides is luck that lasts
as long as the processes: which ranks share a processor, and where their memory lies.

With --hosts the ranks are on several hosts, which are network namespaces (hosts.py) between which
there is TCP.

Sizes are bytes of the larger of one rank's input and output: of the vector for all_reduce and
broadcast, of what is received for all_gather and all_to_all, of what is sent for reduce_scatter.
Ranks are processes, pinned to nothing.
"""
import dataclasses
import datetime
import json
import os
import pathlib
import random
import signal
import statistics
import sys
import time

import arguments
import board
import hosts
import plot
import programs
import programs_hosts
import report
import report_hosts

BURST_TIMEOUT_S = 120
ITERATIONS_MAX = 8000
SLOW = 20  # a lane that takes so many times the fastest one's time is asked in a few rounds only
PING_PONG_MOST, ROOFLINE_LEAST, STREAMS_LEAST = 2048, 32 << 10, 512 << 10
ENCRYPTED_LEAST = 16 << 20
LONG_US = 20e3
OURS = {*programs.OURS, *programs_hosts.OURS}
SECOND_US = 1e6
BUSY_PERCENT = 10


@dataclasses.dataclass
class Lane:
    """One program at one point: what it is asked for, and how many iterations a burst has."""
    name: str
    program: programs.Program
    command: dict
    scale: float = 1.0
    niters: int = 2
    nwarm: int = 1
    refresh: bool = True
    slow: bool = False
    raw: list = dataclasses.field(default_factory=list)
    sent: list = dataclasses.field(default_factory=list)  # by each host, per operation, by burst
    wrong: int = 0

    def samples(self):
        """Microseconds per operation, round by round. What refreshing costs is taken from all
        rounds: its median is steadier than one burst's, and the same for all of them."""
        refreshing = [times[1] for times in self.raw if times is not None]
        alone = statistics.median(refreshing) if refreshing else 0
        return [None if times is None else round((times[0] - alone) * self.scale, 4)
                for times in self.raw]


@dataclasses.dataclass
class Point:
    """A collective, a type, a size; lanes are the programs that can do it."""
    coll: str
    dtype: str
    nbytes: int


def sizes_of(options, team):
    """Of a link with a limit and of many ranks on a host only what there is a bar for."""
    if options.sizes or team.layout is None:
        return options.sizes or arguments.SIZES
    if team.layout.rate:
        return [64 << 20]
    return [16 << 20] if team.layout.per_host > 2 else arguments.HOSTS_SIZES


def points_of(options, team):
    """What is measured with a team, in order."""
    nranks = team.nranks
    for coll in options.ops:
        if coll != "all_reduce" and nranks > options.others_nranks_max:
            continue
        for nbytes in sizes_of(options, team):
            in_blocks = coll in ("all_gather", "reduce_scatter", "all_to_all")
            if not in_blocks or nbytes % (4 * nranks) == 0:
                yield Point(coll, "float32", nbytes)
        if coll == "all_reduce" and team.name == "2" and options.bfloat16:
            yield Point(coll, "bfloat16", 2 << 20)


def lanes_of(point, running):
    """The lanes of a point, over the programs that still run."""
    lanes = []

    def add(name, program, coll, dtype, nbytes, scale=1.0, refresh=True):
        if program.can(coll, dtype):
            command = {"coll": board.COLLS[coll], "dtype": board.DTYPES[dtype], "nbytes": nbytes}
            lanes.append(Lane(name, program, command, scale, refresh=refresh))

    def add_wire(program):
        if point.coll != "all_reduce":
            return
        if point.nbytes <= PING_PONG_MOST:
            add("exchange", program, "exchange", "float32", 0, refresh=False)
        if point.nbytes >= STREAMS_LEAST:
            # As much as a host must send at least, and receive, for an AllReduce.
            share = 2 * (program.nranks - 1) / program.nranks
            for name in ("streams", "streams_2", "streams_memory"):
                add(name, program, name, "float32", point.nbytes, share, refresh=False)

    for name, program in running.items():
        if name == "floor":
            if point.coll != "all_reduce" or point.dtype != "float32":
                continue
            if point.nbytes <= PING_PONG_MOST:
                add("ping-pong", program, "ping_pong", "float32", 0, 0.5)
            if point.nbytes >= ROOFLINE_LEAST:
                add("floor", program, "all_reduce", "float32", point.nbytes)
                add("floor-stream", program, "stream", "float32", point.nbytes)
        elif name == "wire":
            add_wire(program)
        elif name == "whorl-encrypted" and point.nbytes < ENCRYPTED_LEAST:
            continue
        elif point.dtype == "float32":
            add(name, program, point.coll, "float32", point.nbytes)
        elif program.can(point.coll, point.dtype):
            add(name, program, point.coll, point.dtype, point.nbytes)
            add(f"{name}/float32", program, point.coll, "float32", 2 * point.nbytes)
    return lanes


class Session:
    """One launch of all programs, with one team."""

    def __init__(self, options, place, run, team, launch):
        self.options, self.place, self.run, self.team = options, place, run, team
        self.nranks = team.nranks
        self.running = {}
        self.random = random.Random(options.seed + team.nranks + 100 * launch)
        self.nrounds = ((launch + 1) * options.rounds // options.launches -
                        launch * options.rounds // options.launches)

    def start(self, recipes):
        """Starts one after the other; who does not come is noted and left out."""
        for name, recipe in recipes.items():
            program = programs.Program(self.place, name, recipe, self.nranks)
            self.running[name] = program
            try:
                program.wait_until_ready()
                self.run["programs"][name] = {"version": program.version,
                                              "settings": program.settings}
            except (RuntimeError, TimeoutError) as error:
                self.drop(name, error)

    def note_load(self):
        """While all programs sleep, nothing should run; what does will be in the measurements."""
        before = processor_ticks()
        time.sleep(0.5)
        total, idle = (b - a for a, b in zip(before, processor_ticks()))
        busy = 100 * (1 - idle / total) if total else 0
        known = self.run["busy_percent"].setdefault(self.team.name, [])
        known.append(round(busy, 1))
        if busy > BUSY_PERCENT:
            note = (f"{self.team.name} ranks: the processors were {busy:.0f} % busy with something "
                    "else while all programs slept; do not trust these numbers")
            self.run["notes"].append(note)
            print(f"# {note}", flush=True)

    def drop(self, name, error):
        """Ends a program that failed, and notes why."""
        program = self.running.pop(name)
        program.stop()
        said = program.last_words() or "nothing"
        note = f"{name}, {self.team.name} ranks: {error}; it said: {said}"
        self.run["notes"].append(note)
        self.run["failed"] |= name in OURS
        print(f"# {note}", flush=True)

    def stop(self):
        for program in self.running.values():
            program.stop()
        self.running = {}

    def ask(self, lane, release=False):
        """Microseconds per iteration with and of refreshing; None: it failed, or is wrong."""
        flags = board.REFRESH if self.options.refresh and lane.refresh else 0
        flags |= board.RELEASE if release else 0
        try:
            before = self.sent_by(lane.program)
            both, alone, wrong = lane.program.burst(
                BURST_TIMEOUT_S, **lane.command, nwarm=lane.nwarm, niters=lane.niters, flags=flags)
            lane.sent.append([(now - then) / (lane.nwarm + lane.niters)
                              for then, now in zip(before, self.sent_by(lane.program))])
        except (RuntimeError, OSError) as error:
            self.drop(lane.program.name, error)
            return None
        if wrong > 0:
            lane.wrong += 1
            return None
        return both, alone

    def sent_by(self, program):
        """What each host has sent so far; nothing without hosts."""
        if self.team.layout is None:
            return []
        per_host = program.nranks // self.team.layout.nhosts
        return [hosts.bytes_sent(pid) for pid in program.rank_pids()[::per_host]]

    def is_running(self, lane):
        return self.running.get(lane.program.name) is lane.program

    def calibrate(self, lane, release):
        """Chooses the iterations of a burst so that it takes about as long as the options say."""
        estimate = None
        for _ in range(3):
            times = self.ask(lane, release)
            if times is None:
                return estimate
            estimate = max(times[0], 0.05)
            wanted = self.options.burst_ms * 1e3 / estimate
            done = lane.niters
            # One of a burst's own is enough where operations over hosts take long.
            least = 1 if self.team.layout and estimate > LONG_US else 3
            lane.niters = int(min(max(wanted, least), ITERATIONS_MAX))
            lane.nwarm = max(1, min(lane.niters // 5, 500))
            if done * 4 >= lane.niters or done * estimate > 0.02 * SECOND_US:
                break
        return estimate

    def measure(self, point, limit_s):
        """One point: calibration, then rounds in random order, fewer where limit_s has passed."""
        least = -(-arguments.ROUNDS_LEAST // self.options.launches)
        lanes = lanes_of(point, self.running)
        most = max((lane.command["nbytes"] for lane in lanes), default=0)
        tight = most * 2 * self.nranks * len(lanes) > 0.4 * available_nbytes()
        estimates = {}
        for lane in lanes:
            if self.is_running(lane):
                estimates[id(lane)] = self.calibrate(lane, tight)
        known = [us for us in estimates.values() if us is not None]
        for lane in lanes:
            estimate = estimates.get(id(lane))
            lane.slow = estimate is not None and estimate > SLOW * min(known)
        start = time.monotonic()
        for number in range(self.nrounds):
            late = time.monotonic() - start > limit_s
            if number >= least and late:
                break
            last = number == self.nrounds - 1
            for lane in self.random.sample(lanes, len(lanes)):
                skip = lane.slow and number >= least
                release = tight or (last and most >= 8 << 20)
                asked = self.is_running(lane) and not skip
                lane.raw.append(self.ask(lane, release) if asked else None)
        return self.record(point, lanes)

    def record(self, point, lanes):
        """What is known of a point: what run.json has of it."""
        row = {"coll": point.coll, "dtype": point.dtype, "nranks": self.nranks,
               "team": self.team.name, "nbytes": point.nbytes, "samples": {}, "raw": {},
               "wrong": {}, "sent": {}}
        for lane in lanes:
            if self.team.layout and lane.sent:
                row["sent"][lane.name] = [round(statistics.median(of)) for of in zip(*lane.sent)]
            row["raw"][lane.name] = lane.raw
            row["samples"][lane.name] = lane.samples()
            if lane.wrong:
                row["wrong"][lane.name] = lane.wrong
                self.run["failed"] |= lane.program.name in OURS
        return row


def merge(row, more):
    """Adds to what is known of a point the rounds of another launch. A lane that one of the two has
    not was not asked in its rounds."""
    for key in ("samples", "raw"):
        before = max(map(len, row[key].values()), default=0)
        after = before + max(map(len, more[key].values()), default=0)
        for lane, values in more[key].items():
            mine = row[key].setdefault(lane, [])
            mine += [None] * (before - len(mine)) + values
        for mine in row[key].values():
            mine += [None] * (after - len(mine))
    for lane, nbursts in more["wrong"].items():
        row["wrong"][lane] = row["wrong"].get(lane, 0) + nbursts
    row["sent"].update(more["sent"])


def processor_ticks():
    """(all, idle) ticks of all processors so far."""
    fields = pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return sum(ticks), ticks[3] + ticks[4]


def available_nbytes():
    """Memory that can be had without swapping."""
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 1 << 32


def machine():
    """The processor's name."""
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def line_of(row):
    """A point in one line."""
    quartiles, _ = report.best_ratio(row)
    floor_us, floor_name = report.floor_of(row)
    ours = report.median(row, "whorl")
    peers = report.peers_of(row)
    text = f"{row['coll']:>15} {row['dtype']:>8} {row['team']:>2} "
    text += f"{plot.size_text(row['nbytes']):>8} {report.us_text(ours):>10}"
    if peers:
        text += f" {report.us_text(report.median(row, peers[0])):>10} {peers[0]:<15}"
    if quartiles:
        text += f" {quartiles[1]:7.2f} [{quartiles[0]:.2f} {quartiles[2]:.2f}]"
    if floor_us is not None:
        text += f"  {report.us_text(floor_us)} {floor_name}"
    if row["wrong"]:
        text += f"  WRONG RESULTS: {', '.join(row['wrong'])}"
    off = report.off_the_wire(row)
    if off:
        text += f"  NOT OVER THE WIRE: {', '.join(off)}"
    return text


def find(names, everything, place, run):
    """{name: recipe} of the programs that can run here."""
    recipes = {}
    for name in names:
        try:
            recipe = everything[name](place)
        except programs.BuildFailed as error:
            recipe = f"does not compile: {error}"
        if isinstance(recipe, str) and name in run["missing"]:
            continue
        if isinstance(recipe, str):
            run["missing"][name] = recipe
            print(f"# {name} is missing: {recipe}", flush=True)
        else:
            recipes[name] = recipe
    return recipes


def write(options, run):
    """Every file of the results."""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    (options.out / "table.md").write_text(report.markdown(run, bars_of(run)), encoding="utf-8")
    for coll in options.ops:
        for team in options.teams:
            report.draw(run, options.out / f"{coll}_{team.name}.svg", coll, team.name)
    if options.svg:
        report.draw(run, options.svg, "all_reduce", options.teams[0].name)


def bars_of(run):
    return report_hosts.bars(run) if run["over_hosts"] else report.bars(run)


def print_summary(options, run):
    if options.whorl and not options.again:
        print("\nbars")
        for what, bar, got, met in bars_of(run):
            verdict = {True: "met", False: "NOT MET", None: "-"}[met]
            print(f"{verdict:>8}  {what}: {got}; wanted: {bar}")
    print(f"\nwritten: {options.out}/run.json, table.md and plots")


class Measurement:
    """All teams, one after the other, within the time that the options give."""

    def __init__(self, options, place, run):
        self.options, self.place, self.run = options, place, run
        self.deadline = time.monotonic() + 60 * options.minutes
        self.npoints = options.launches * sum(len(list(points_of(options, team)))
                                              for team in options.teams)

    def measure(self, team):
        """False if there is no Whorl, where there should be."""
        if team.layout is None:
            return self.measure_with(team, {**programs.OURS, **programs.FLOOR, **programs.PEERS})
        with hosts.OneCpuGroup(self.options.first), hosts.Hosts(team.layout) as network:
            return self.measure_with(team, programs_hosts.everything(network))

    def measure_with(self, team, everything):
        recipes = find(arguments.names_of(self.options), everything, self.place, self.run)
        if self.options.whorl and "whorl" not in recipes:
            return False
        rows = []
        for launch in range(self.options.launches):
            print(f"# {team.name} ranks, launch {launch + 1} of {self.options.launches}", flush=True)
            session = Session(self.options, self.place, self.run, team, launch)
            try:
                session.start(recipes)
                session.note_load()
                self.measure_launch(session, rows)
                session.note_load()
            finally:
                session.stop()
        return True

    def measure_launch(self, session, rows):
        """All points; rows has what the launches before came to, point by point."""
        points = list(points_of(self.options, session.team))
        # What comes first pays for new connections and processors that slept: it is not kept.
        session.measure(points[0], 0)
        for i, point in enumerate(points):
            # Large points take longer than their share, small ones less.
            left_s = self.deadline - time.monotonic()
            limit_s = min(self.options.point_s / self.options.launches, 3 * left_s / self.npoints)
            row = session.measure(point, limit_s)
            if i < len(rows):
                merge(rows[i], row)
            else:
                rows.append(row)
                self.run["points"].append(row)
            print(line_of(rows[i]), flush=True)
            self.npoints -= 1


def main():
    options = arguments.parse(__doc__.splitlines()[0])
    why = hosts.cannot() if options.hosts else None
    if why:
        print(f"compare.py: --hosts cannot be measured here: {why}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    place = programs.Place(options.build.resolve(), options.work.resolve())
    run = {"date": datetime.date.today().isoformat(), "machine": machine(),
           "processors": len(os.sched_getaffinity(0)),
           "options": {key: str(value) for key, value in vars(options).items()},
           "programs": {}, "missing": {}, "points": [], "notes": [], "busy_percent": {},
           "over_hosts": bool(options.hosts), "failed": False}
    place.clean()
    if options.hosts:
        hosts.clean()
    print(f"{'operation':>15} {'type':>8} {'n':>2} {'size':>8} {'Whorl us':>10} {'best us':>10} "
          f"{'best peer':<15} {'ratio':>7} [quartiles]  floor us")
    measurement = Measurement(options, place, run)
    try:
        for team in options.teams:
            if not measurement.measure(team):
                return 2
    finally:
        place.clean()
        if run["points"]:
            write(options, run)
    print_summary(options, run)
    return 1 if run["failed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
