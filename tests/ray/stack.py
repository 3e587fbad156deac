"""A stack on Ray Serve in processes of its own, for tests that speak HTTP to it and kill parts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
from ruamel.yaml import YAML

from deploy.ports import claim
from tests.e2e.stack import Stack

START_S = 240
"""On a machine that does much else; an idle one takes 15."""


@dataclass(frozen=True)
class RayStack(Stack):
    """`server` is the process of `stepwell serve`, whose children Ray's processes are. `key` may
    read its metrics.
    """

    server: int
    key: str = "unused"

    def replicas(self, deployment: str) -> list[psutil.Process]:
        title = f"ServeReplica:stepwell:{deployment}"
        children = psutil.Process(self.server).children(recursive=True)
        return [p for p in children if _title(p).startswith(f"ray::{title}")]

    def kill_one(self, deployment: str) -> None:
        os.kill(self.replicas(deployment)[0].pid, signal.SIGKILL)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels, over all replicas."""
        headers = {"authorization": f"Bearer {self.key}"}
        scrape = httpx2.get(f"{self.url}/metrics", headers=headers).raise_for_status()
        lines = scrape.text.splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(f.rsplit(" ", 1)[1]) for f in found if all(w in f for w in wanted))


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def running(
    config: dict[str, Any],
    folder: Path,
    *,
    start_s: float = START_S,
    key: str = "unused",
    **ray: Any,
) -> Iterator[RayStack]:
    """The stack of `config`, its state under `folder`, on a free loopback port. Its processes count
    in a directory of their own: metrics are those of all that share one.
    """
    port = claim("127.0.0.1", 0, hint="")
    database = folder / "stepwell.db"
    whole = {
        **config,
        "runtime": "ray",
        "ray": ray,
        "server": {"port": port, "drain_s": 5},
        "log": {"level": "error"},
        "storage": {"url": f"sqlite:///{database}", "flush_interval_s": 0.05},
    }
    path = folder / "stepwell.yaml"
    YAML(typ="safe").dump(whole, path)
    with (folder / "serve.log").open("w") as log:
        command = [sys.executable, "-m", "deploy.cli", "serve", str(path)]
        environment = os.environ | {"STEPWELL_DATA_DIR": str(folder)}
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, folder / "serve.log", start_s)
        yield RayStack(url, database, process.pid, key)
    finally:
        children = _children(process.pid)
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()  # does nothing where it has ended
            for child in [c for c in children if c.is_running()]:
                child.kill()
    assert process.returncode == 128 + signal.SIGTERM, "it did not stop by itself"


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, start_s: float) -> None:
    """Ready for a second: HAProxy is reloaded as replicas come up, and a connection that it takes
    meanwhile may break off.
    """
    good = 0
    until = time.monotonic() + start_s
    while time.monotonic() < until and process.poll() is None:
        try:
            good = good + 1 if httpx2.get(f"{url}/ready").status_code == 200 else 0
        except httpx2.TransportError:
            good = 0
        if good == 5:
            return
        time.sleep(0.2)
    raise AssertionError(f"it does not serve: {log.read_text()[-2_000:]}")
