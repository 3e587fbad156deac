"""What pods name must be there under that very name, whatever hash Kustomize has given it."""

from collections.abc import Iterator
from typing import Any

from k8s.checks.findings import Finding, Manifest
from k8s.checks.pods import Pod, containers_of, pods_of

CHECK = "references"
OF_THE_CLUSTER = {("ConfigMap", "kube-root-ca.crt")}
Reference = tuple[str, str, bool]
"""A kind, a name, and whether it may be missing."""


def check(manifests: list[Manifest]) -> list[Finding]:
    """What is named and is not there, and keys of it that are not."""
    there = {(m["kind"], m["metadata"]["name"]) for m in manifests} | OF_THE_CLUSTER
    found = []
    for pod in pods_of(manifests):
        for kind, name, optional in _named_by(pod):
            if (kind, name) not in there and not optional:
                found.append(Finding(CHECK, pod.where, f"there is no {kind} {name}"))
        found += _keys(pod, manifests)
    return found


def _named_by(pod: Pod) -> Iterator[Reference]:
    yield "ServiceAccount", pod.spec.get("serviceAccountName", "default"), False
    if "priorityClassName" in pod.spec:
        yield "PriorityClass", pod.spec["priorityClassName"], False
    for volume in pod.spec.get("volumes", []):
        yield from _named_by_volume(volume)
    for container in containers_of(pod):
        for source in container.get("envFrom", []):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source:
                    yield kind, source[key]["name"], source[key].get("optional", False)
        for kind, ref in _single(container):
            yield kind, ref["name"], ref.get("optional", False)


def _named_by_volume(volume: dict[str, Any]) -> Iterator[Reference]:
    if "persistentVolumeClaim" in volume:
        yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], False
    if "configMap" in volume:
        yield "ConfigMap", volume["configMap"]["name"], volume["configMap"].get("optional", False)
    if "secret" in volume:
        yield "Secret", volume["secret"]["secretName"], volume["secret"].get("optional", False)
    for source in volume.get("projected", {}).get("sources", []):
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if key in source:
                yield kind, source[key]["name"], source[key].get("optional", False)


def _single(container: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {})
        for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if key in source:
                yield kind, source[key]


def _keys(pod: Pod, manifests: list[Manifest]) -> Iterator[Finding]:
    held = {(m["kind"], m["metadata"]["name"]): m.get("data") or {} for m in manifests}
    for container in containers_of(pod):
        for kind, ref in _single(container):
            data = held.get((kind, ref["name"]))
            if data is not None and ref["key"] not in data and not ref.get("optional", False):
                what = f"{kind} {ref['name']} has no key {ref['key']}"
                yield Finding(CHECK, pod.where, what)
