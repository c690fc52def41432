# SPDX-License-Identifier: Apache-2.0
"""Hosts that are network namespaces of this machine, for compare.py; tools/hosts.sh makes them.

They share file system, memory and process numbers, so that the board works as ever; each has its
own eth0, and on_host.sh gives each its own host name.
"""
import contextlib
import dataclasses
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
HOSTS_SH = HERE.parent.parent / "tools/hosts.sh"
ON_HOST = HERE / "on_host.sh"
PREFIX = "peers"
UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How many hosts, how many ranks on each (rank r is on host r / per_host), and what each host
    may send; rate "" is no limit."""
    nhosts: int
    per_host: int
    rate: str = ""

    @staticmethod
    def parse(text, rate=""):
        """From 2x1 or 4x1@1gbit; rate is for those that name none. ValueError if it is neither."""
        match = re.fullmatch(r"(\d+)x(\d+)(?:@(\d+(?:\.\d+)?[kmg]bit))?", text)
        if match is None or int(match[1]) < 2 or int(match[2]) < 1:
            raise ValueError(f"{text}: no HOSTSxRANKS[@RATE], like 2x1 or 4x1@1gbit")
        return Layout(int(match[1]), int(match[2]), match[3] or rate)

    @property
    def nranks(self):
        return self.nhosts * self.per_host

    @property
    def name(self):
        return f"{self.nhosts}x{self.per_host}" + (f"@{self.rate}" if self.rate else "")

    @property
    def bytes_per_s(self):
        """What a host may send, or None."""
        return float(self.rate[:-4]) * UNITS[self.rate[-4:]] / 8 if self.rate else None


def cannot():
    """Why there can be no such hosts here, or None."""
    done = subprocess.run(["sh", HOSTS_SH, "check"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return (done.stdout + done.stderr).strip() or f"{HOSTS_SH} check: {done.returncode}"


def _down(name):
    """Ctrl-C must not leave half of it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        subprocess.run(["sh", HOSTS_SH, "down", name], check=False, stdin=subprocess.DEVNULL,
                       start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)


def clean():
    """Removes the hosts of runs that are no more."""
    done = subprocess.run(["sh", HOSTS_SH, "list"], capture_output=True, text=True, check=False)
    for name in done.stdout.split():
        match = re.fullmatch(PREFIX + r"(\d+)", name)
        if match and not pathlib.Path(f"/proc/{match[1]}").exists():
            _down(name)
    for group in OneCpuGroup.ROOT.glob(f"{PREFIX}[0-9]*"):
        if not pathlib.Path(f"/proc/{group.name[len(PREFIX):]}").exists():
            with contextlib.suppress(OSError): # somebody may still be in it
                group.rmdir()


class Hosts:
    """The hosts of a layout, as long as a with statement lasts."""

    def __init__(self, layout):
        self.layout = layout
        self.name = f"{PREFIX}{os.getpid()}"
        self.addresses = []
        self._port = 20000

    def __enter__(self):
        rate = [self.layout.rate] if self.layout.rate else []
        try:
            self._ask("up", self.name, str(self.layout.nhosts), *rate)
            self.addresses = [self._ask("addr", self.name, str(host))
                              for host in range(self.layout.nhosts)]
        except BaseException:
            _down(self.name)
            raise
        return self

    def __exit__(self, *unused):
        _down(self.name)

    @staticmethod
    def _ask(*arguments):
        done = subprocess.run(["sh", HOSTS_SH, *arguments], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise RuntimeError(f"hosts.sh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def host_of(self, rank):
        return rank // self.layout.per_host

    def next_port(self):
        """One that nothing in these hosts uses, since nothing but this run is in them."""
        self._port += 1
        return self._port

    @property
    def environment(self):
        """What on_host.sh needs to know."""
        return {"PEERS_HOSTS": " ".join([self.name, *self.addresses])}

    def command(self, host, arguments):
        """Arguments that run others on a host; with environment."""
        return ["sh", str(ON_HOST), self.addresses[host],
                "exec " + shlex.join([str(argument) for argument in arguments])]


class OneCpuGroup:
    """This process and all that it starts in one control group, as long as a with statement lasts.

    Where the kernel schedules sessions apart (sched_autogroup_enabled, in the topmost group only),
    ranks whose launcher gave each a session would not run when others yield to them, and
    milliseconds would pass between ranks that share a processor. Does nothing without need or right.
    With first, what else runs on the machine gets hardly any processor time meanwhile.
    """

    ROOT = pathlib.Path("/sys/fs/cgroup/cpu")
    SHARES = "200000" # where others have 1024

    def __init__(self, first=False):
        self.first = first
        self.path = self.ROOT / f"{PREFIX}{os.getpid()}"

    @staticmethod
    def _move(group):
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def __enter__(self):
        groups = pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        is_topmost = any(re.fullmatch(r"\d+:(cpu|cpu,cpuacct|cpuacct,cpu):/", g) for g in groups)
        try:
            if is_topmost:
                self.path.mkdir()
                if self.first:
                    (self.path / "cpu.shares").write_text(self.SHARES, encoding="ascii")
                self._move(self.path)
        except OSError:
            self.__exit__()
        except BaseException:
            self.__exit__()
            raise
        if self.first and not self.path.exists():
            print("# --first has no effect here", flush=True)
        return self

    def __exit__(self, *unused):
        if not self.path.exists():
            return
        for _ in range(250): # a process that just ended may still count
            try:
                self._move(self.ROOT)
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.02)


def bytes_sent(pid):
    """What eth0 of the host in which a process runs has sent so far."""
    for line in pathlib.Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "eth0":
            return int(counters.split()[8])
    raise RuntimeError(f"process {pid} sees no eth0")
