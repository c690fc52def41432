#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the containers of every manifest in examples/kubernetes/ on this machine.

Each container's command runs as it is written, with the environment of the manifest and what the
operator or Kubernetes would add (RANK, MASTER_ADDR, the index of the Job's pod ...). Only what a
cluster has and this machine has not is replaced: names of pods become 127.0.0.1, eth0 an interface
that is there, sizes and numbers of processes become small, and torchrun and sshd are played.
usage: launch_kubernetes_test.py FOLDER-OF-PERF-TESTS
"""
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

try:
    import yaml
except ImportError:
    print("SKIP: PyYAML is not installed")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "examples" / "kubernetes"
BIN = pathlib.Path(sys.argv[1]).resolve()
TIMEOUT_S = 100
SMALL = {"128M": "4K"}
SECRET = "the secret of the test"

# Plays torchrun: the variables that it sets, once per process of this node.
TORCHRUN = r"""#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    --nnodes) nnodes=$2; shift 2 ;;
    --node_rank) node=$2; shift 2 ;;
    --nproc_per_node) nlocal=$2; shift 2 ;;
    --master_addr) MASTER_ADDR=$2; shift 2 ;;
    --master_port) MASTER_PORT=$2; shift 2 ;;
    --no-python) shift; break ;;
    *) echo "torchrun: $1?" >&2; exit 2 ;;
    esac
done
export MASTER_ADDR MASTER_PORT WORLD_SIZE=$((nnodes * nlocal)) LOCAL_WORLD_SIZE="$nlocal"
export TORCHELASTIC_RUN_ID=none TORCHELASTIC_USE_AGENT_STORE=True
pids=
for i in $(seq 0 $((nlocal - 1))); do
    LOCAL_RANK=$i RANK=$((node * nlocal + i)) "$@" &
    pids="$pids $!"
done
status=0
for pid in $pids; do wait "$pid" || status=$?; done
exit $status
"""


def free_port():
    """A port of which the next one is free too: Whorl leaves MASTER_PORT itself to torch."""
    for port in range(20000 + os.getpid() % 10000, 32000, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue
    raise OSError("no free port")


def interface():
    """An interface that is there, in place of eth0."""
    names = [name for _, name in socket.if_nameindex()]
    return "eth0" if "eth0" in names else "lo"


class Pod:
    """One container, with what its manifest and its operator say."""

    def __init__(self, name, container, annotations, given):
        self.name = name
        self.command = [SMALL.get(word, word) for word in
                        container["command"] + container.get("args", [])]
        for big, small in SMALL.items():
            self.command = [word.replace(f" {big} ", f" {small} ") for word in self.command]
        self.env = dict(given)
        for var in container.get("env", []):
            self.env[var["name"]] = value_of(var, annotations)

    def start(self, base):
        env = {**base, **self.env}
        if "NCCL_SOCKET_IFNAME" in env:
            env["NCCL_SOCKET_IFNAME"] = interface()
        if "NPROC_PER_NODE" in env:
            env["NPROC_PER_NODE"] = "2"
        return subprocess.Popen(self.command, env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def value_of(var, annotations):
    if "value" in var:
        assert isinstance(var["value"], str), f"{var['name']}: Kubernetes takes only strings"
        return var["value"]
    source = var["valueFrom"]
    if "secretKeyRef" in source:
        assert source["secretKeyRef"]["name"] == "whorl-secret"
        return SECRET
    return annotations[source["fieldRef"]["fieldPath"].split("'")[1]]


def check_pod_spec(where, template):
    """What every pod must have, whatever starts it."""
    spec = template["spec"]
    for container in spec["containers"]:
        limits = container["resources"]["limits"]
        assert "memory" in limits and "cpu" in limits, f"{where}: no limits"
        for resource in ("nvidia.com/gpu", "rdma/rdma_shared_device"):
            assert isinstance(limits.get(resource, 1), int), f"{where}: {resource} must be whole"
        mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        assert set(mounts) == set(volumes), f"{where}: {set(volumes)}, mounted {set(mounts)}"
        for name, path in mounts.items():
            assert path == "/dev/shm" and volumes[name]["emptyDir"]["medium"] == "Memory"
    if "rdma/rdma_shared_device" in str(spec):
        networks = template.get("metadata", {}).get("annotations", {})
        assert networks.get("k8s.v1.cni.cncf.io/networks") == "rdma-network", f"{where}: RDMA"


def pytorchjob_pods(job):
    """What the training operator makes of a PyTorchJob."""
    specs = job["spec"]["pytorchReplicaSpecs"]
    assert specs["Master"]["replicas"] == 1
    port = str(free_port())
    nranks = sum(spec["replicas"] for spec in specs.values())
    pods = []
    for kind in ("Master", "Worker"):
        spec = specs[kind]
        assert spec["restartPolicy"] in ("OnFailure", "Never", "Always", "ExitCode")
        check_pod_spec(f"{job['metadata']['name']} {kind}", spec["template"])
        container = spec["template"]["spec"]["containers"][0]
        assert container["name"] == "pytorch", "the operator looks for this name"
        for _ in range(spec["replicas"]):
            given = {"RANK": str(len(pods)), "WORLD_SIZE": str(nranks), "MASTER_ADDR": "127.0.0.1",
                     "MASTER_PORT": port, "PYTHONUNBUFFERED": "0"}
            pods.append(Pod(f"{kind} {len(pods)}", container, {}, given))
    nprocesses = 2 if "NPROC_PER_NODE" in pods[0].env else 1
    return pods, nranks * nprocesses


def job_pods(job):
    """What Kubernetes makes of an indexed Job."""
    spec = job["spec"]
    check_pod_spec(job["metadata"]["name"], spec["template"])
    assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"]
    container = spec["template"]["spec"]["containers"][0]
    pods = []
    port = free_port()
    for index in range(spec["completions"]):
        annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
        pod = Pod(f"pod {index}", container, annotations, {"JOB_COMPLETION_INDEX": str(index)})
        host, _ = pod.env["WHORL_ROOT"].split(":")
        name, service = host.split(".")
        assert name == f"{job['metadata']['name']}-0" and service == spec["template"]["spec"][
            "subdomain"], "the root is the first pod"
        pod.env["WHORL_ROOT"] = f"127.0.0.1:{port}"
        pods.append(pod)
    assert int(pods[0].env["WHORL_NRANKS"]) == len(pods)
    return pods, len(pods)


def mpijob_pods(job, work):
    """What the MPI operator makes of an MPIJob: a launcher with a list of workers."""
    specs = job["spec"]["mpiReplicaSpecs"]
    nslots = job["spec"]["slotsPerWorker"] * specs["Worker"]["replicas"]
    check_pod_spec("worker", specs["Worker"]["template"])
    hostfile = work / "hostfile"
    hostfile.write_text(f"localhost slots={nslots}\n", encoding="utf-8")
    given = {"OMPI_MCA_orte_default_hostfile": str(hostfile), "OMPI_MCA_orte_keep_fqdn_hostnames":
             "true", "OMPI_MCA_rmaps_base_oversubscribe": "1",
             "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    container = specs["Launcher"]["template"]["spec"]["containers"][0]
    pod = Pod("launcher", container, {}, given)
    script = pod.command[2].replace(":29555", f":{free_port()}")
    assert f" -np {nslots} " in script, f"mpirun does not start {nslots} ranks"
    pod.command[2] = script
    # A rank of every other program finds rank 0 by WHORL_ROOT.
    plain = Pod("launcher of a program without MPI", container, {}, given)
    begin = script.index("all_reduce_perf")
    plain.command[2] = script[:begin] + str(BIN.parent / "examples" / "01_all_reduce")
    return [pod], [plain], nslots


def run(name, pods, base, expected):
    processes = [pod.start(base) for pod in pods]
    outputs = []
    for pod, process in zip(pods, processes):
        try:
            outputs.append(process.communicate(timeout=TIMEOUT_S)[0])
        except subprocess.TimeoutExpired:
            for other in processes:
                other.kill()
            sys.exit(f"FAIL: {name}: {pod.name} did not end\n{process.communicate()[0]}")
    text = "".join(f"--- {pod.name}: status {process.returncode}\n{output}"
                   for pod, process, output in zip(pods, processes, outputs))
    failed = [pod.name for pod, process in zip(pods, processes) if process.returncode != 0]
    count, line = expected
    if failed or text.count(line) != count:
        sys.exit(f"FAIL: {name}: failed: {failed}; {text.count(line)} of {count} \"{line}\"\n"
                 f"{text}")
    for pod in pods:
        assert SECRET not in text, f"{name}: {pod.name} shows the secret"
    return text


def check_others(name, documents):
    """Objects beside the job: every name that is referred to is there."""
    objects = {(doc["kind"], doc["metadata"]["name"]) for doc in documents}
    text = (MANIFESTS / name).read_text(encoding="utf-8")
    for document in documents:
        assert document["apiVersion"] and document["kind"] and document["metadata"]["name"]
    if "schedulerName: volcano" in text:
        group, = (doc for doc in documents if doc["kind"] == "PodGroup")
        assert ("Queue", group["spec"]["queue"]) in objects
        assert text.count(f"group-name: {group['metadata']['name']}") == 1
        return group["spec"]["minMember"]
    if ("ClusterQueue", "training") in objects:
        assert ("LocalQueue", "team-queue") in objects
        assert ("ResourceFlavor", "gpu-nodes") in objects
    return None


def run_manifest(path, work, base):
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    gang = check_others(path.name, documents)
    njobs = 0
    for document in documents:
        kind = document["kind"]
        table = (1, "# Out of bounds values : 0 OK")
        if kind == "MPIJob":
            njobs += 1
            if shutil.which("mpirun") is None:
                print(f"{path.name}: parsed; mpirun is not installed, so it was not run")
                continue
            pods, plain, nranks = mpijob_pods(document, work)
            text = run(path.name, pods, base, table)
            run(path.name, plain, base, (nranks, f"of {nranks}: the sum is "))
        elif kind in ("PyTorchJob", "Job"):
            njobs += 1
            pods, nranks = (pytorchjob_pods if kind == "PyTorchJob" else job_pods)(document)
            assert gang in (None, len(pods)), f"a gang of {gang} for {len(pods)} pods"
            text = run(path.name, pods, base, table)
        else:
            continue
        assert text.count("#  Rank ") == nranks, f"{path.name}: not {nranks} ranks\n{text}"
        print(f"ok: {path.name}: {kind} of {nranks} ranks")
    return njobs


def main():
    if subprocess.run(f"ldd {BIN}/all_reduce_perf | grep -Eq 'lib(a|t|ub)san'", shell=True,
                      check=False).returncode == 0:
        print("SKIP: too slow under a sanitizer, and MPI is reported on")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        torchrun = work / "torchrun"
        torchrun.write_text(TORCHRUN, encoding="utf-8")
        torchrun.chmod(torchrun.stat().st_mode | stat.S_IXUSR)
        base = {"PATH": f"{work}:{BIN}:{os.environ['PATH']}", "HOME": folder}
        paths = sorted(MANIFESTS.glob("*.yaml"))
        njobs = sum(run_manifest(path, work, base) for path in paths)
        blocks = "".join(path.read_text(encoding="utf-8") for path in paths)
    for name in ("NCCL_SOCKET_IFNAME", "NCCL_IB_DISABLE", "NCCL_IB_HCA", "NCCL_IB_GID_INDEX",
                 "NCCL_NET_GDR_LEVEL", "NCCL_P2P_LEVEL", "NCCL_ALGO", "NCCL_DEBUG"):
        assert name in blocks, f"no manifest has {name}"
    assert njobs == len(paths), f"{njobs} jobs in {len(paths)} manifests"
    return 0


if __name__ == "__main__":
    sys.exit(main())
