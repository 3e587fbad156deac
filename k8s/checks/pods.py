"""The pods that manifests describe."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k8s.checks.findings import Manifest, named


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's template: where it stands, its labels and its spec. `ray` is true of Ray's pods."""

    where: str
    labels: dict[str, str]
    spec: dict[str, Any]
    ray: bool


def pods_of(manifests: list[Manifest]) -> Iterator[Pod]:
    """Every template, of Ray's groups and of built-in kinds."""
    for manifest in manifests:
        if manifest["kind"] == "RayService":
            cluster = manifest["spec"]["rayClusterConfig"]
            yield _pod(f"{named(manifest)} head", cluster["headGroupSpec"]["template"], ray=True)
            for group in cluster.get("workerGroupSpecs", []):
                where = f"{named(manifest)} group {group.get('groupName')}"
                yield _pod(where, group["template"], ray=True)
        elif isinstance(manifest.get("spec"), dict) and "template" in manifest["spec"]:
            yield _pod(named(manifest), manifest["spec"]["template"], ray=False)


def containers_of(pod: Pod) -> list[dict[str, Any]]:
    """Its containers, those of its start first."""
    return [*pod.spec.get("initContainers", []), *pod.spec["containers"]]


def variables_of(container: dict[str, Any], manifests: list[Manifest]) -> dict[str, str | None]:
    """The variables that a container gets, with the values of those from ConfigMaps and plain
    ones; None for a secret's.
    """
    found: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            name = source.get(key, {}).get("name")
            for manifest in manifests:
                if manifest["kind"] == kind and manifest["metadata"]["name"] == name:
                    data = manifest.get("data") or {}
                    found |= data if kind == "ConfigMap" else dict.fromkeys(data)
    for variable in container.get("env", []):
        found[variable["name"]] = variable.get("value")
    return found


def _pod(where: str, template: dict[str, Any], *, ray: bool) -> Pod:
    labels = template.get("metadata", {}).get("labels", {})
    return Pod(where, labels, template["spec"], ray)
