"""A Ray cluster of several nodes on this machine: for each pod of the manifests a raylet with the
pod's resources, in a process tree of its own, so that killing the tree is losing the pod.

All nodes have this machine's address. HAProxy therefore runs on the head's node alone, and gateways
on one other: Serve gives every node's gateways the same ports.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
from ruamel.yaml import YAML

from deploy.ports import claim
from deploy.ray.own import own_flags
from deploy.ray.run import FLAGS

RAY = Path(sys.executable).parent / "ray"
START_S = 240
ADDRESS = "127.0.0.1"
STORE_BYTES = 80_000_000
"""Of each node's object store: what crosses here is small."""


@dataclass(frozen=True)
class Cluster:
    """`api` is the dashboard's address, where Serve's configuration is put. `nodes` are running, by
    the name of their group.
    """

    folder: Path
    gcs: str
    api: str
    env: Mapping[str, str]
    nodes: dict[str, psutil.Popen] = field(default_factory=dict)

    def join(self, name: str, resources: Mapping[str, int]) -> None:
        """Adds a node, as Kubernetes makes a pod. It may not have joined yet on return."""
        cpus = resources.get("CPU", 0)
        own = {k: v for k, v in resources.items() if k != "CPU"}
        text = "{" + ", ".join(f'"{k}": {v}' for k, v in own.items()) + "}"
        options = ["--address", self.gcs, "--num-cpus", str(cpus), "--resources", text]
        self.nodes[name] = _start(self.folder, name, options, self.env)

    def lose(self, name: str) -> None:
        """Kills a node and all that runs on it, at once."""
        _kill(self.nodes.pop(name))

    def processes(self, title: str) -> list[psutil.Process]:
        """Those of all nodes whose command line begins so."""
        found = [p for node in self.nodes.values() for p in _tree(node)]
        return [p for p in found if _title(p).startswith(title)]

    def replicas(self, deployment: str) -> list[psutil.Process]:
        return self.processes(f"ray::ServeReplica:stepwell:{deployment}")

    def kill_one(self, deployment: str) -> None:
        os.kill(self.replicas(deployment)[0].pid, signal.SIGKILL)

    def answers(self) -> None:
        """Waits until the dashboard does."""
        until = time.monotonic() + START_S
        headers = {"authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"}
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{self.api}/api/version", headers=headers).status_code == 200:
                    return
            assert self.nodes["head"].poll() is None, self.logs()
            assert time.monotonic() < until, self.logs()
            time.sleep(0.2)

    def deploy(self, config: Mapping[str, object]) -> None:
        """`serve deploy`. It is accepted on return, and not yet carried out."""
        path = self.folder / "serve.yaml"
        YAML(typ="safe").dump(dict(config), path)
        command = [str(RAY.parent / "serve"), "deploy", str(path), "--address", self.api]
        done = subprocess.run(
            command,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2_000:]

    def logs(self) -> str:
        """The ends of what nodes said, for a test that fails."""
        texts = [p.read_text("utf-8")[-1_000:] for p in sorted(self.folder.glob("*.log"))]
        return "\n".join(texts)


@contextmanager
def cluster(environment: Mapping[str, str]) -> Iterator[Cluster]:
    """The head's node, with `environment` on every node beside Stepwell's flags. At the end no
    process of it is left.
    """
    # Short, for a socket's path may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="stepwell-c-"))
    try:
        with own_flags() as own:
            # The dashboard's API runs jobs, so it asks for this run's own token.
            token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_urlsafe(32)}
            env = {**FLAGS, **own, **token, **environment}
            gcs, dashboard, client = (claim(ADDRESS, 0, hint="") for _ in range(3))
            found = Cluster(folder, f"{ADDRESS}:{gcs}", f"http://{ADDRESS}:{dashboard}", env)
            options = ["--head", "--port", str(gcs), "--num-cpus", "0"]
            options += ["--dashboard-host", ADDRESS, "--dashboard-port", str(dashboard)]
            options += ["--ray-client-server-port", str(client)]
            found.nodes["head"] = _start(folder, "head", options, env)
            try:
                yield found
            finally:
                for name in list(found.nodes):
                    found.lose(name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, name: str, options: list[str], env: Mapping[str, str]) -> psutil.Popen:
    command = [str(RAY), "start", "--block", *options]
    command += ["--object-store-memory", str(STORE_BYTES), "--disable-usage-stats"]
    command += ["--dashboard-agent-listen-port", "0", "--include-log-monitor", "False"]
    command += ["--temp-dir", str(folder / name)]
    data = folder / f"data-{name}"
    data.mkdir(exist_ok=True)
    with (folder / f"{name}.log").open("w") as log:
        return psutil.Popen(
            command,
            env={**os.environ, **env, "STEPWELL_DATA_DIR": str(data)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _kill(node: psutil.Popen) -> None:
    """The tree is stopped first: who is killed one by one would be started again by its parent."""
    doomed = _tree(node)
    for process in doomed:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    for process in {*doomed, *_tree(node)}:
        with contextlib.suppress(psutil.Error):
            process.kill()
    node.wait(30)


def _tree(node: psutil.Popen) -> list[psutil.Process]:
    try:
        return [psutil.Process(node.pid), *node.children(recursive=True)]
    except psutil.Error:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
