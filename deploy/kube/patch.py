"""A JSON patch (RFC 6902) that gives the base's RayService the worker groups of a configuration.

Kustomize replaces lists of custom resources as a whole, so the groups are addressed by their place
in the base's list; each operation on one is preceded by a test of its name.
"""

from collections.abc import Sequence
from typing import Any

from deploy.kube.groups import Group

BASE_GROUPS = ("gateway", "cache", "local-7b", "local-70b")
"""The worker groups of k8s/base/ray-service.yaml, in its order."""

TIER_PROTOTYPE = 2
GROUPS = "/spec/rayClusterConfig/workerGroupSpecs"
HEAD = "/spec/rayClusterConfig/headGroupSpec"
ENGINE_IMAGE = "stepwell-gpu"
MARGIN_S = 30
PRODUCTS = {
    "A100": ("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-PCIE-40GB"),
    "H100": ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe", "NVIDIA-H100-NVL"),
    "H200": ("NVIDIA-H200", "NVIDIA-H200-NVL"),
    "L4": ("NVIDIA-L4",),
    "L40S": ("NVIDIA-L40S",),
}
"""Ray's names of GPUs, and what NVIDIA's feature discovery labels nodes with."""

Op = dict[str, Any]


def patch(groups: Sequence[Group], *, drain_s: float) -> list[Op]:
    """The operations. A group that the base lacks is a copy of its first tier's; one that the
    configuration lacks is removed. `drain_s` is how long a replica may finish what it holds.
    """
    ops: list[Op] = []
    where: dict[str, int] = {}
    for group in groups:
        if group.name not in BASE_GROUPS:
            where[group.name] = len(BASE_GROUPS) + len(where)
            ops += _copied(group.name, where[group.name])
    for group in groups:
        at = where.get(group.name)
        if at is None:
            at = BASE_GROUPS.index(group.name)
            ops.append({"op": "test", "path": f"{GROUPS}/{at}/groupName", "value": group.name})
        ops += _sized(f"{GROUPS}/{at}", group, int(drain_s) + MARGIN_S)
    if any(group.vllm for group in groups):
        ops += _engine_everywhere(groups, where)
    named = {group.name for group in groups}
    for at, name in reversed(list(enumerate(BASE_GROUPS))):
        if name not in named:
            ops.append({"op": "test", "path": f"{GROUPS}/{at}/groupName", "value": name})
            ops.append({"op": "remove", "path": f"{GROUPS}/{at}"})
    return ops


def _copied(name: str, at: int) -> list[Op]:
    source = f"{GROUPS}/{TIER_PROTOTYPE}"
    return [
        {"op": "test", "path": f"{source}/groupName", "value": BASE_GROUPS[TIER_PROTOTYPE]},
        {"op": "copy", "from": source, "path": f"{GROUPS}/-"},
        {"op": "replace", "path": f"{GROUPS}/{at}/groupName", "value": name},
    ]


def _sized(path: str, group: Group, grace_s: int) -> list[Op]:
    pod = f"{path}/template/spec"
    requests: dict[str, str | int] = {
        "cpu": f"{group.cpu_request:g}",
        "memory": f"{int(group.memory_request_gib * 1024)}Mi",
    }
    limits: dict[str, str | int] = {"cpu": f"{group.cpu:g}", "memory": f"{group.memory_gib}Gi"}
    if group.gpus:
        requests["nvidia.com/gpu"] = limits["nvidia.com/gpu"] = group.gpus
    own = {"CPU": f"{group.cpu:g}", **{k: str(v) for k, v in group.resources.items()}}
    values = {
        f"{path}/replicas": group.replicas,
        f"{path}/minReplicas": group.replicas,
        f"{path}/maxReplicas": group.max_replicas,
        f"{path}/resources": own | ({"GPU": str(group.gpus)} if group.gpus else {}),
        f"{pod}/containers/0/resources": {"requests": requests, "limits": limits},
        f"{pod}/terminationGracePeriodSeconds": grace_s,
    }
    ops: list[Op] = [{"op": "replace", "path": k, "value": v} for k, v in values.items()]
    if group.gpus:
        ops += _on_gpu_nodes(pod, group)
    if group.vllm:
        ops += _with_weights(pod)
    return ops


def _on_gpu_nodes(pod: str, group: Group) -> list[Op]:
    asked: dict[str, Any] = {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]}
    if group.accelerators:
        products = [p for kind in group.accelerators for p in PRODUCTS.get(kind, (kind,))]
        asked = {"key": "nvidia.com/gpu.product", "operator": "In", "values": products}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [asked]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    return [
        {"op": "add", "path": f"{pod}/affinity", "value": affinity},
        {"op": "add", "path": f"{pod}/tolerations", "value": [toleration]},
        {"op": "test", "path": f"{pod}/volumes/2/name", "value": "shm"},
        {"op": "replace", "path": f"{pod}/volumes/2/emptyDir/sizeLimit", "value": "16Gi"},
    ]


def _with_weights(pod: str) -> list[Op]:
    """The weights that the pull job has fetched, read only, and no way to the hub."""
    claim = {"claimName": "stepwell-weights", "readOnly": True}
    mount = {"name": "weights", "mountPath": "/models", "readOnly": True}
    offline = [
        {"name": "HF_HUB_CACHE", "value": "/models"},
        {"name": "HF_HUB_OFFLINE", "value": "1"},
    ]
    return [
        {
            "op": "add",
            "path": f"{pod}/volumes/-",
            "value": {"name": "weights", "persistentVolumeClaim": claim},
        },
        {"op": "add", "path": f"{pod}/containers/0/volumeMounts/-", "value": mount},
        *(
            {"op": "add", "path": f"{pod}/containers/0/env/-", "value": variable}
            for variable in offline
        ),
    ]


def _engine_everywhere(groups: Sequence[Group], where: dict[str, int]) -> list[Op]:
    """Every pod on the image that has vLLM: Serve builds the application in a task that Ray may run
    on any of them, and building a tier on vLLM imports it.
    """
    indices = [where.get(g.name, -1) for g in groups]
    at = [BASE_GROUPS.index(g.name) if i < 0 else i for g, i in zip(groups, indices, strict=True)]
    paths = [f"{HEAD}/template/spec", *(f"{GROUPS}/{i}/template/spec" for i in at)]
    return [
        {"op": "replace", "path": f"{path}/containers/{i}/image", "value": ENGINE_IMAGE}
        for path in paths
        for i in range(1 if path.startswith(HEAD) else 2)
    ]
