# SPDX-License-Identifier: Apache-2.0
"""The arguments of compare.py: what is measured, with what, and for how long."""
import argparse
import dataclasses
import pathlib

import board
import hosts
import programs
import programs_hosts
import report

SIZES = [8 * 4 ** k for k in range(13)]  # 8 B to 128 MiB
QUICK_SIZES = [8, 2048, 32 << 10, 2 << 20]
HOSTS_SIZES = sorted([8 * 4 ** k for k in range(12)] + [16 << 20, 64 << 20])
HOSTS_ALL = "2x1 2x2 4x1 4x1@1gbit 2x4"
OPERATIONS = list(report.TITLES)
ROUNDS_LEAST = 3


@dataclasses.dataclass
class Team:
    """The ranks of a measurement: of one host, or over the hosts of a network."""
    nranks: int
    layout: hosts.Layout = None

    @property
    def name(self):
        return self.layout.name if self.layout else str(self.nranks)


def words(text):
    return text.replace(",", " ").split()


def nbytes_of(text):
    """16777216, or 16M; ValueError if it is none."""
    shift = {"K": 10, "M": 20, "G": 30}.get(text[-1:].upper(), 0)
    return int(text[:-1] if shift else text) << shift


def parse(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("build", type=pathlib.Path, help="CMake's folder, as build/release")
    parser.add_argument("--hosts", type=words, metavar="HOSTSxRANKS[@RATE]",
                        help=f"over TCP between namespaces; all: {HOSTS_ALL}")
    parser.add_argument("--first", action="store_true",
                        help="with --hosts: take the processors from whatever else runs")
    parser.add_argument("--rate", default="", help="what each host may send, as 1gbit; for --hosts")
    parser.add_argument("--work", type=pathlib.Path, default=programs.ROOT / "build/peers",
                        help="programs and virtual environments (build/peers)")
    parser.add_argument("--out", type=pathlib.Path,
                        help="folder of results (WORK/results, with --hosts WORK/results-tcp)")
    parser.add_argument("--peers", type=words,
                        help=f"of: {' '.join(programs.PEERS)}; with --hosts "
                             f"{' '.join(programs_hosts.PEERS)} unless told, and "
                             f"{' '.join(programs_hosts.MORE_PEERS)}")
    parser.add_argument("--nranks", type=words, help="processes (2 4 8)")
    parser.add_argument("--ops", type=words,
                        help=f"of: {' '.join(OPERATIONS)}; with --hosts all_reduce unless told")
    parser.add_argument("--sizes", type=words, help="in bytes, or as 64K, 16M (powers of four, 8 B to 128 MiB)")
    parser.add_argument("--rounds", type=int, help="rounds per point (9)")
    parser.add_argument("--launches", type=int,
                        help="of all programs, over which rounds are spread (3)")
    parser.add_argument("--point-s", type=float, default=6,
                        help=f"fewer rounds, but {ROUNDS_LEAST}, where a point takes longer (6)")
    parser.add_argument("--minutes", type=float, default=13,
                        help=f"fewer rounds, but {ROUNDS_LEAST}, where all takes longer (13)")
    parser.add_argument("--burst-ms", type=float, default=5, help="length of a burst (5)")
    parser.add_argument("--quick", action="store_true", help="2 ranks, few sizes and rounds")
    parser.add_argument("--self", dest="again", action="store_true",
                        help="Whorl twice instead of peers, to see what the noise is")
    parser.add_argument("--no-whorl", dest="whorl", action="store_false",
                        help="only peers and floors")
    parser.add_argument("--no-refresh", dest="refresh", action="store_false",
                        help="write inputs once per burst, not before every operation")
    parser.add_argument("--no-symmetric", dest="symmetric", action="store_false",
                        help="leave out Whorl with buffers of whorl_mem_alloc()")
    parser.add_argument("--no-bfloat16", dest="bfloat16", action="store_false")
    parser.add_argument("--corrupt", action="store_true",
                        help="one more Whorl, with wrong results, to see the check see them")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns")
    parser.add_argument("--svg", type=pathlib.Path, help="also draw all_reduce, 2 ranks, here")
    options = parser.parse_args()
    try:
        complete(options)
    except ValueError as error:
        parser.error(str(error))
    return options


def complete(options):
    """What was not told. ValueError if what was cannot be."""
    known = list(programs.PEERS)
    if options.hosts:
        known = list(programs_hosts.PEERS + programs_hosts.MORE_PEERS)
        texts = HOSTS_ALL.split() if options.hosts == ["all"] else options.hosts
        options.teams = [Team(layout.nranks, layout) for layout in
                         (hosts.Layout.parse(text, options.rate) for text in texts)]
        options.symmetric = options.corrupt = False
    else:
        nranks = [int(n) for n in options.nranks or ([2] if options.quick else [2, 4, 8])]
        options.teams = [Team(n) for n in nranks]
    options.peers = options.peers or list(programs_hosts.PEERS if options.hosts else known)
    options.ops = options.ops or (["all_reduce"] if options.hosts else OPERATIONS)
    options.sizes = [nbytes_of(str(size)) for size in
                     options.sizes or (QUICK_SIZES if options.quick else [])]
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.launches = min(options.launches or (1 if options.quick else 3), options.rounds)
    least = min(team.nranks for team in options.teams)
    options.others_nranks_max = board.RANKS_MAX if options.hosts else max(4, least)
    options.out = options.out or options.work / ("results-tcp" if options.hosts else "results")
    unknown = set(options.peers) - set(known) | set(options.ops) - set(OPERATIONS)
    if unknown:
        raise ValueError(f"unknown: {' '.join(sorted(unknown))}")
    if not all(2 <= team.nranks <= board.RANKS_MAX for team in options.teams):
        raise ValueError(f"ranks are 2 to {board.RANKS_MAX}")


def names_of(options):
    """The programs that are asked for."""
    if options.hosts:
        names = ["whorl", "whorl-encrypted"] if options.whorl else []
        floor = "wire"
    else:
        names = ["whorl"] + (["whorl-symmetric"] if options.symmetric else [])
        names = names if options.whorl else []
        floor = "floor"
    names += [floor] + (["whorl-again"] if options.again else options.peers)
    return names + (["whorl-corrupt"] if options.corrupt else [])
