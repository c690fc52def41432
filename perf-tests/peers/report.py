# SPDX-License-Identifier: Apache-2.0
"""What a run of compare.py came to: ratios with their spread, the bars, Markdown, plots.

A run is a dictionary, the content of run.json:

    programs   {name: {"version", "settings"}}; missing: {name: why}
    over_hosts whether the ranks were on several hosts
    points     [{"coll", "dtype", "nranks", "nbytes",
                 "team": the ranks' number, or their layout over hosts as 2x1 or 4x1@1gbit,
                 "samples": {lane: [microseconds, or null where it was not asked, one per round]},
                 "raw": {lane: [[microseconds with refreshing, of refreshing], ...]},
                 "wrong": {lane: bursts with wrong results},
                 "sent": {lane: [bytes that a host's eth0 sent per operation, host by host]}}]

A lane is a program's name, or one of: "ping-pong" (half a round trip), "floor" and "floor-stream"
(the roofline written through and past the caches), and NAME/float32 beside NAME at the points whose
dtype is bfloat16: the same number of elements in float32. Over hosts: "exchange" (a byte each
way), "streams" and "streams_2" (what a host must send and receive, with one thread and with two),
"streams_memory" (the same through as much memory; it explains, and is no floor to be held to).
"""
import math
import statistics

import plot

OURS = {"whorl", "whorl-symmetric", "whorl-encrypted"}
SMALL_FLOORS = ("ping-pong", "exchange")
LARGE_FLOORS = ("floor", "floor-stream", "streams", "streams_2")
FLOORS = {*SMALL_FLOORS, *LARGE_FLOORS, "streams_memory"}
OFF_THE_WIRE = 0.9  # whose hosts sent less than this share of the vector did not use the wire
TITLES = {"all_reduce": "AllReduce", "all_gather": "AllGather", "reduce_scatter": "ReduceScatter",
          "broadcast": "Broadcast", "all_to_all": "AllToAll"}
MIB = 1 << 20


def off_the_wire(point):
    """Lanes that did without the network between hosts, in which an AllReduce makes every host send
    at least as many bytes as the vector has: of each element its part, or the sum."""
    if point["coll"] != "all_reduce":
        return []
    return [lane for lane, sent in point.get("sent", {}).items()
            if lane not in FLOORS and min(sent) < OFF_THE_WIRE * point["nbytes"]]


def counted(point, lane):
    """The samples of a lane, None where there are none that count."""
    samples = point["samples"].get(lane)
    if samples is None or point["wrong"].get(lane) or not any(s is not None for s in samples):
        return None
    return samples if lane not in off_the_wire(point) else None


def median(point, lane):
    samples = counted(point, lane)
    us = None if samples is None else statistics.median(s for s in samples if s is not None)
    return us if us is not None and us > 0 else None


def ratio(point, lane, base="whorl"):
    """(lower quartile, median, upper quartile) of lane / base round by round, or None."""
    above, below = counted(point, lane), counted(point, base)
    if above is None or below is None:
        return None
    ratios = [a / b for a, b in zip(above, below)
              if a is not None and b is not None and b > 0 and a > 0]
    if not ratios:
        return None
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, statistics.median(ratios), high


def peers_of(point):
    """Lanes of other libraries with a median, fastest first."""
    lanes = [lane for lane in point["samples"] if lane not in OURS | FLOORS and "/" not in lane]
    timed = [(median(point, lane), lane) for lane in lanes]
    return [lane for us, lane in sorted((us, lane) for us, lane in timed if us is not None)]


def best_ratio(point, among=None):
    """(quartiles of the best peer / ours, its name), or (None, None)."""
    peers = [lane for lane in peers_of(point) if among is None or lane in among]
    quartiles = ratio(point, peers[0]) if peers else None
    return (quartiles, peers[0]) if quartiles else (None, None)


def floor_of(point):
    """(microseconds, name) of the least that the machine itself takes, or (None, None)."""
    for floors in (LARGE_FLOORS, SMALL_FLOORS):
        timed = [(median(point, lane), lane) for lane in floors]
        timed = [pair for pair in timed if pair[0] is not None]
        if timed:
            return min(timed)
    return None, None


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def select(run, coll, nranks, dtype="float32"):
    return [p for p in run["points"]
            if p["coll"] == coll and p["dtype"] == dtype and p["nranks"] in nranks]


def select_team(run, coll, team):
    return [p for p in run["points"]
            if p["coll"] == coll and p["dtype"] == "float32" and p["team"] == team]


# ---- bars ----------------------------------------------------------------------------------------

def least_bar(what, pairs, least, mean):
    """A row of bars(): pairs are (ratio, where); least or mean None: there is no bar for it."""
    bar = ", ".join(([f"never below {least}"] if least else []) +
                    ([f"geometric mean {mean}"] if mean else []))
    if not pairs:
        return what, bar, "not measured", None
    low, where = min(pairs)
    got = f"least {low:.2f} ({where})"
    met = least is None or low >= least
    if mean:
        value = geometric_mean([pair[0] for pair in pairs])
        got += f", geometric mean {value:.2f}"
        met = met and value >= mean
    return what, bar, got, met


def where_of(point):
    return plot.size_text(point["nbytes"])


def best_pairs(points, among=None):
    pairs = [(best_ratio(point, among)[0], point) for point in points]
    return [(quartiles[1], where_of(point)) for quartiles, point in pairs if quartiles]


def bars(run):
    """[(what, bar, measured, True, False or None where not measured)]"""
    rows = []
    for nranks, least, mean in ((2, 1.2, 2.5), (4, 1.5, 4), (8, 1.5, 4)):
        rows.append(least_bar(f"all_reduce, float32, {nranks} ranks, best peer",
                              best_pairs(select(run, "all_reduce", {nranks})), least, mean))
    for nranks in (2, 4, 8):
        for text, small, least in (("up to 1 MiB", True, 10), ("above 1 MiB", False, 4)):
            points = [p for p in select(run, "all_reduce", {nranks})
                      if (p["nbytes"] <= MIB) == small]
            pairs = [(ratio(p, "gloo"), p) for p in points]
            rows.append(least_bar(f"all_reduce, float32, {nranks} ranks, Gloo, {text}",
                                  [(q[1], where_of(p)) for q, p in pairs if q], least, None))
    for coll in ("all_gather", "reduce_scatter", "broadcast", "all_to_all"):
        for nranks in (2, 4):
            rows.append(least_bar(f"{coll}, float32, {nranks} ranks, best peer",
                                  best_pairs(select(run, coll, {nranks})), 1.0, 1.8))
    rows.append(bfloat16_bar(run))
    rows.append(symmetric_bar(run))
    return rows


def bfloat16_bar(run):
    what, bar = "all_reduce, 1 Mi elements, 2 ranks: bfloat16 / float32", "at most 0.7"
    points = [p for p in select(run, "all_reduce", {2}, "bfloat16") if p["nbytes"] == 2 * MIB]
    quartiles = ratio(points[0], "whorl", "whorl/float32") if points else None
    if quartiles is None:
        return what, bar, "not measured", None
    return what, bar, f"{quartiles[1]:.2f}", quartiles[1] <= 0.7


def symmetric_bar(run):
    pairs = []
    for point in select(run, "all_reduce", {2}):
        _, name = floor_of(point)
        quartiles = ratio(point, name, "whorl-symmetric") if name else None
        if point["nbytes"] >= 16 * MIB and quartiles:
            pairs.append((quartiles[1], where_of(point)))
    return least_bar("all_reduce, symmetric buffers, 16 MiB and up, 2 ranks: share of the roofline",
                     pairs, 0.8, None)


# ---- text ----------------------------------------------------------------------------------------

def us_text(us):
    return "" if us is None else f"{us:.2f}" if us < 100 else f"{us:.0f}"


def table(points):
    """A Markdown table of the points of one collective and number of ranks."""
    peers = [lane for lane in plot.NAMES if any(lane in peers_of(p) for p in points)]
    others = [lane for lane in ("whorl-symmetric", "whorl-encrypted")
              if any(counted(p, lane) for p in points)]
    head = ["size", "Whorl us", "best peer", "its us", "ratio", "quartiles", "floor us"]
    head += [f"{lane.removeprefix('whorl-')} us" for lane in others]
    head += [f"{lane} us" for lane in peers]
    lines = ["| " + " | ".join(head) + " |", "| ---: " * len(head) + "|"]
    for point in points:
        quartiles, best = best_ratio(point)
        best = best or next(iter(peers_of(point)), None)
        floor_us, floor_name = floor_of(point)
        row = [plot.size_text(point["nbytes"]), us_text(median(point, "whorl")), best or "",
               us_text(median(point, best)) if best else "",
               f"{quartiles[1]:.2f}" if quartiles else "",
               f"{quartiles[0]:.2f} to {quartiles[2]:.2f}" if quartiles else "",
               us_text(floor_us) + (f" ({floor_name})" if floor_name in SMALL_FLOORS else "")]
        row += [us_text(median(point, lane)) for lane in others + peers]
        lines.append("| " + " | ".join(row) + " |")
    pairs = best_pairs(points)
    if pairs:
        lines += ["", f"Geometric mean of {len(pairs)} ratios: "
                      f"{geometric_mean([pair[0] for pair in pairs]):.2f}; "
                      f"least: {min(pairs)[0]:.2f} at {min(pairs)[1]}."]
    return lines


def bfloat16_table(points):
    lines = ["| elements | lane | bfloat16 us | float32 us | bfloat16 / float32 |",
             "| ---: " * 5 + "|"]
    for point in points:
        for lane in point["samples"]:
            quartiles = ratio(point, lane, f"{lane}/float32") if "/" not in lane else None
            if quartiles:
                row = [str(point["nbytes"] // 2), lane, us_text(median(point, lane)),
                       us_text(median(point, f"{lane}/float32")), f"{quartiles[1]:.2f}"]
                lines.append("| " + " | ".join(row) + " |")
    return lines


def markdown(run, bars_rows):
    """The whole report."""
    where = "Hosts that are network namespaces of one machine" if run["over_hosts"] else \
        "Processes of one host"
    lines = ["# Side by side", "", f"{where}, {run['processors']} processors, "
             f"{run['machine']}, {run['date']}. Medians of the rounds, and medians and quartiles "
             "of the ratios round by round (peer / Whorl; more than 1: Whorl was faster).", ""]
    lines += [f"- {plot.NAMES.get(name, name)} (`{name}`): {about['version']}"
              + (f"; {about['settings']}" if about["settings"] else "")
              for name, about in run["programs"].items()]
    lines += [f"- `{name}` is missing: {why}" for name, why in run["missing"].items()]
    lines += ["", "| bar | wanted | measured | |", "| --- | --- | --- | --- |"]
    for what, bar, got, met in bars_rows:
        verdict = {True: "met", False: "**not met**", None: ""}[met]
        lines.append(f"| {what} | {bar} | {got} | {verdict} |")
    for coll, title in TITLES.items():
        for team in dict.fromkeys(p["team"] for p in run["points"]):
            points = select_team(run, coll, team)
            if points:
                lines += ["", f"## {title}, float32, {team} ranks", ""] + table(points)
    points = [p for p in run["points"] if p["dtype"] == "bfloat16"]
    if points:
        lines += ["", "## AllReduce, bfloat16 beside float32", ""] + bfloat16_table(points)
    wrong = [f"- {lane}: {count} bursts at {p['coll']}, {p['dtype']}, {p['team']} ranks, "
             f"{where_of(p)}" for p in run["points"] for lane, count in p["wrong"].items()]
    off = [f"- {lane}: did not use the network between hosts, {p['team']} ranks, {where_of(p)}"
           for p in run["points"] for lane in off_the_wire(p)]
    notes = [f"- {note}" for note in run["notes"]] + wrong + off
    if notes:
        lines += ["", "## Failures and wrong results", ""] + notes
    return "\n".join(lines) + "\n"


def draw(run, path, coll, team):
    """The plot of one collective and team. False if there is too little to draw."""
    series = {}
    for point in select_team(run, coll, team):
        for lane in point["samples"]:
            us = median(point, lane)
            if us is not None and us > 0 and lane not in FLOORS:
                series.setdefault(lane, []).append((point["nbytes"], us))
        us, _ = floor_of(point)
        if us is not None and us > 0:
            series.setdefault("floor", []).append((point["nbytes"], us))
    what = f"{team} processes of one machine"
    if run["over_hosts"]:
        what = f"{team} (hosts x ranks), TCP"
    return plot.write_svg(path, f"{TITLES[coll]}, float32, {what}: time per operation", series)
