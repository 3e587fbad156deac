"""The mock overlay on nodes of one machine, deployed as KubeRay does it.

What is committed is deployed, but for what one machine needs otherwise: a free port of the loopback
address, proxies on the head's node alone, the gateways' two pods as one node with the places of
both, no CPUs set aside where a replica takes none, and model times that are a tenth.
"""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from ruamel.yaml import YAML

from deploy.kube.groups import GATEWAY, groups_of
from deploy.kube.serve_config import load, serve_config
from deploy.ports import claim
from deploy.ray.parts import VERSION, Written, version
from k8s.checks.build import OVERLAYS
from tests.ray.cluster.nodes import ADDRESS, START_S, Cluster, cluster

MOCK = OVERLAYS / "mock" / "stepwell.yaml"
COMMITTED = OVERLAYS / "mock" / "generated" / "serve.yaml"
KEY = "sk-stepwell-mock-0123456789abcdefghijklmnopqrstuv"
DATABASE = "STEPWELL_DATABASE_URL"
POLL_S = 0.2
TIME_SCALE = 0.1
ROOT = str(Path(__file__).parents[3])


@dataclass(frozen=True)
class Deployed:
    """`url` is HAProxy's."""

    cluster: Cluster
    url: str

    def change(self, edit: Callable[[Written], None]) -> None:
        """Renders the overlay anew with its `stepwell.yaml` edited, and deploys that. It is carried
        out on return.
        """
        self.begin(edit)
        self.settled()

    def begin(self, edit: Callable[[Written], None]) -> None:
        """As `change`, which is not yet carried out on return."""
        settings, written = load(MOCK)
        edit(written)
        settings = type(settings).model_validate(written)
        self.cluster.deploy(_scaled(serve_config(settings, written), self.url))

    def says(self, deployment: str) -> str:
        """Serve's own message about it."""
        return str(self._status()["deployments"][deployment]["message"])

    def settled(self) -> None:
        """Waits until Serve has done what it was told."""
        until = time.monotonic() + START_S
        found: Any = None
        while time.monotonic() < until:
            found = self._status()
            deployments = found.get("deployments", {}).values()
            if found.get("status") == "RUNNING" and all(
                d["status"] == "HEALTHY" for d in deployments
            ):
                return
            assert found.get("status") != "DEPLOY_FAILED", found["message"]
            time.sleep(POLL_S)
        raise AssertionError(f"{found}\n{self.cluster.logs()}")

    def ready(self) -> bool:
        """Whether a gateway says so."""
        try:
            return httpx2.get(f"{self.url}/ready", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def pids(self, deployment: str) -> set[int]:
        return {replica.pid for replica in self.cluster.replicas(deployment)}

    def _status(self) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.cluster.env['RAY_AUTH_TOKEN']}"}
        url = f"{self.cluster.api}/api/serve/applications/"
        answer = httpx2.get(url, headers=headers, timeout=30).raise_for_status()
        found: dict[str, Any] = answer.json()["applications"].get("stepwell", {})
        return found


def resources(group: str) -> dict[str, int]:
    """Of the one node that stands for a group's pods."""
    settings, _ = load(MOCK)
    [found] = [g for g in groups_of(settings) if g.name == group]
    pods = found.replicas if group == GATEWAY else 1
    return {"CPU": 0, **{name: pods * places for name, places in found.resources.items()}}


@contextmanager
def deployed(database_url: str) -> Iterator[Deployed]:
    """The overlay, ready."""
    settings, _ = load(MOCK)
    url = f"http://{ADDRESS}:{claim(ADDRESS, 0, hint='')}"
    with cluster({DATABASE: database_url, "PYTHONPATH": ROOT}) as nodes:
        nodes.answers()
        for group in groups_of(settings):
            nodes.join(group.name, resources(group.name))
        committed = YAML(typ="safe", pure=True).load(COMMITTED.read_text("utf-8"))
        nodes.deploy(_scaled(committed, url))
        found = Deployed(nodes, url)
        found.settled()
        until = time.monotonic() + START_S
        while not found.ready():
            assert time.monotonic() < until, nodes.logs()
            time.sleep(POLL_S)
        yield found


def _scaled(config: dict[str, Any], url: str) -> dict[str, Any]:
    found = copy.deepcopy(config)
    found["proxy_location"] = "HeadOnly"
    found["http_options"] = {"host": ADDRESS, "port": int(url.rsplit(":", 1)[1])}
    [application] = found["applications"]
    _quicken(application["args"]["config"])
    for deployment in application["deployments"]:
        if config_given := deployment.get("user_config"):
            _quicken(config_given)
            environment = deployment["ray_actor_options"]["runtime_env"]["env_vars"]
            environment[VERSION] = version(config_given)
    return found


def _quicken(written: Written) -> None:
    for tier in written["tiers"]:
        backend = tier["backend"]
        backend.get("emulated", backend)["time_scale"] = TIME_SCALE
