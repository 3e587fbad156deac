"""Whether what Serve will ask of Ray's pods is there: places, GPUs, variables, time to drain."""

from typing import Any

from pydantic import ValidationError

from deploy.kube.groups import groups_of
from deploy.kube.serve_config import secrets_of
from deploy.ray.run import FLAGS
from k8s.checks.findings import Finding, Manifest, named, of_kind
from k8s.checks.pods import pods_of, variables_of
from k8s.checks.serve import serve_config_of, settings_of
from serving.errors import ConfigError
from serving.settings.root import Settings

CHECK = "placement"
GPU = "nvidia.com/gpu"
PREFIX = "stepwell-"


def check(manifests: list[Manifest]) -> list[Finding]:
    """Replicas that no pod has room for, and pods that lack what their processes read."""
    found = []
    for manifest in of_kind(manifests, "RayService"):
        try:
            config = serve_config_of(manifest)
            settings = settings_of(config)
        except (ValidationError, ValueError, KeyError, IndexError):
            continue  # another check says so
        groups = {
            g["groupName"]: g for g in manifest["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        }
        where = named(manifest)
        found += _places(where, config["applications"][0].get("deployments", []), groups)
        found += _groups(where, settings, groups)
        found += _drains(where, settings, groups)
        found += _variables(settings, manifests)
    return found


def _places(
    where: str, deployments: list[dict[str, Any]], groups: dict[str, dict[str, Any]]
) -> list[Finding]:
    """Each replica takes a place that a pod of some group offers."""
    found = []
    for deployment in deployments:
        bundles = deployment.get("placement_group_bundles")
        asked = bundles or [deployment.get("ray_actor_options", {}).get("resources", {})]
        need: dict[str, float] = {}
        for bundle in asked:
            for name, amount in bundle.items():
                need[name] = need.get(name, 0) + amount
        if not any(name.startswith(PREFIX) for name in need):
            what = f"{deployment['name']} takes no place, so it could land anywhere"
            found.append(Finding(CHECK, where, what))
        elif not any(_offers(group, need) for group in groups.values()):
            what = f"{deployment['name']} needs {need}, which no pod offers"
            found.append(Finding(CHECK, where, what))
    return found


def _offers(group: dict[str, Any], need: dict[str, float]) -> bool:
    own = group.get("resources", {})
    return all(float(own.get(name, 0)) >= amount for name, amount in need.items())


def _groups(where: str, settings: Settings, groups: dict[str, dict[str, Any]]) -> list[Finding]:
    """The groups are those of the configuration, with its GPUs and its bounds."""
    try:
        expected = {group.name: group for group in groups_of(settings)}
    except ConfigError as error:
        return [Finding(CHECK, where, error.message)]
    found = []
    if set(expected) != set(groups):
        what = f"groups are {sorted(groups)}, the configuration needs {sorted(expected)}"
        found.append(Finding(CHECK, where, what))
    for name in sorted(set(expected) & set(groups)):
        group, want = groups[name], expected[name]
        limits = group["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
        facts = {
            "replicas": (group.get("minReplicas"), want.replicas),
            "most replicas": (group.get("maxReplicas"), want.max_replicas),
            "GPUs": (int(limits.get(GPU, 0)), want.gpus),
            "GPUs that Ray counts": (int(group["resources"].get("GPU", 0)), want.gpus),
        }
        for fact, (got, wanted) in facts.items():
            if got != wanted:
                what = f"group {name}: {fact}: {got}, the configuration needs {wanted}"
                found.append(Finding(CHECK, where, what))
    return found


def _drains(where: str, settings: Settings, groups: dict[str, dict[str, Any]]) -> list[Finding]:
    least = settings.server.drain_s
    found = []
    if least < settings.request_deadline_s:
        what = f"server.drain_s {least:g} is below request_deadline_s, the longest stream"
        found.append(Finding(CHECK, where, what))
    for name, group in groups.items():
        grace = group["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        if grace <= least:
            what = f"group {name}: pods are killed after {grace} s, replicas drain for {least:g} s"
            found.append(Finding(CHECK, where, what))
    return found


def _variables(settings: Settings, manifests: list[Manifest]) -> list[Finding]:
    """Ray's flags and the database reach every pod of Ray, keys of hosted models the gateways'
    and no other.
    """
    database, keys = secrets_of(settings)
    found = []
    for pod in pods_of(manifests):
        if not pod.ray:
            continue
        got = variables_of(pod.spec["containers"][0], manifests)
        gateway = pod.labels.get("stepwell.dev/role") == "gateway"
        found += [
            Finding(CHECK, pod.where, f"no Secret gives {name}")
            for name in (database, *(keys if gateway else ()))
            if name not in got
        ]
        found += [
            Finding(CHECK, pod.where, f"{name} is for the gateways' pods alone")
            for name in (() if gateway else keys)
            if name in got
        ]
        for name, value in FLAGS.items():
            if got.get(name) != value:
                what = f"{name} is {got.get(name)!r}, `stepwell serve` sets {value!r}"
                found.append(Finding(CHECK, pod.where, what))
    return found
