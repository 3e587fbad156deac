"""Which pods a configuration needs: KubeRay's worker groups. Pure.

A replica finds its group by a resource of Ray that only the group's pods have: without one,
replicas that reserve no CPU would land anywhere, on the head and beside GPUs too, and nothing would
tell Ray's autoscaler that a pod is missing.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.ray.sizes import BATCH, works
from serving.errors import ConfigError
from serving.settings.local import LocalEngine
from serving.settings.root import Settings
from serving.settings.tiers import MockEngine, TierSettings
from serving.settings.vllm import VllmEngine

GATEWAY = "gateway"
CACHE = "cache"
SHARED = "shared-gpu"
PLACES = 2
"""Replicas of one kind that a CPU pod has room for: one starts while another drains."""

GIB = 2**30
_DNS = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Group:
    """A worker group. `resources` are Ray's own, of each pod; memory and shared memory in GiB."""

    name: str
    role: str
    replicas: int
    max_replicas: int
    resources: dict[str, int]
    cpu: float = 2.0
    cpu_request: float = 0.5
    memory_gib: int = 4
    memory_request_gib: float = 1.0
    gpus: int = 0
    accelerators: tuple[str, ...] = ()
    vllm: bool = False


def groups_of(settings: Settings) -> tuple[Group, ...]:
    """The groups in the order of the manifests. `ConfigError` where pods can't hold a tier."""
    for tier in (*settings.tiers, *settings.embedders):
        if not _DNS.fullmatch(tier.name) or tier.name in {GATEWAY, CACHE, SHARED}:
            raise ConfigError(
                f"{tier.name}: on Kubernetes a name has at most 40 lower-case letters, digits and"
                f" dashes, and is none of {GATEWAY}, {CACHE}, {SHARED}"
            )
    found = [_gateway(settings)]
    if cache := _cache(settings):
        found.append(cache)
    shared = [t for t in _on_vllm(settings) if _engine(t).gpu_share < 1]
    found += [
        _own(settings, tier)
        for tier in (*settings.tiers, *settings.embedders)
        if tier not in shared and place_of(settings, tier) not in {GATEWAY, CACHE}
    ]
    if shared:
        found.append(_sharing(settings, shared))
    return tuple(found)


def place_of(settings: Settings, tier: TierSettings) -> str:
    """The group whose pods run a tier or an embedder. What is asked over the network runs beside
    the gateways, whose pods alone may leave the cluster.
    """
    backend = tier.backend
    if isinstance(backend, VllmEngine):
        return SHARED if backend.gpu_share < 1 else tier.name
    if isinstance(backend, LocalEngine):
        return tier.name if backend.gpu_share else CACHE
    if isinstance(backend, MockEngine):
        return CACHE if tier in settings.embedders else tier.name
    return GATEWAY


def place(deployment: str) -> str:
    """Ray's resource of which each replica of a deployment takes one."""
    return f"stepwell-{deployment}"


def bundles(tier: TierSettings, deployment: str) -> list[dict[str, float]]:
    """What the workers of one replica on vLLM reserve: all in one pod. The kind of GPU is left to
    the pod's node affinity: Ray's autoscaler does not know which kind a pod to come will have.
    """
    engine = _engine(tier)
    worker: dict[str, float] = {"CPU": engine.cpus, place(deployment): 1}
    if engine.accelerator == "gpu":
        worker["GPU"] = engine.gpu_share
    return [dict(worker) for _ in range(engine.workers)]


def deployment_of(settings: Settings, tier: TierSettings) -> str:
    """The name of the deployment that answers for a tier or an embedder that is not hosted."""
    return f"embed-{tier.name}" if tier in settings.embedders else f"tier-{tier.name}"


def _gateway(settings: Settings) -> Group:
    names = ["gateway"]
    if any(tier.hosted for tier in settings.tiers):
        names.append("egress")
    if works(settings):
        names.append(BATCH)
    for tier in (*settings.tiers, *settings.embedders):
        embeds = tier in settings.embedders
        if place_of(settings, tier) == GATEWAY and (embeds or not tier.hosted):
            names.append(deployment_of(settings, tier))
    pods = max(settings.ray.gateways, settings.ray.egress)
    resources = {place(name): PLACES for name in names}
    return Group(GATEWAY, "gateway", pods, 2 * pods, resources)


def _cache(settings: Settings) -> Group | None:
    semantic = settings.cache.semantic
    on = semantic.enabled and settings.mode != "observe"
    embedders = [e for e in settings.embedders if place_of(settings, e) == CACHE]
    if not on and not embedders:
        return None
    resources = {place("semantic"): PLACES} if on else {}
    resources |= {place(f"embed-{e.name}"): PLACES * e.replicas for e in embedders}
    memory = 2 + len(embedders) + math.ceil(2 * semantic.max_bytes / GIB)
    if semantic.ray.num_gpus:
        raise ConfigError(
            "cache.semantic.ray.num_gpus: the cache's pods have no GPU; leave it at 0 on Kubernetes"
        )
    cpu = max(2.0, semantic.threads + semantic.ray.num_cpus + len(embedders))
    return Group(CACHE, "cache", 1, 2, resources, cpu=cpu, memory_gib=memory)


def _own(settings: Settings, tier: TierSettings) -> Group:
    """Pods of a tier's own: of one on vLLM a replica each, of another one two."""
    name, backend = place(deployment_of(settings, tier)), tier.backend
    if isinstance(backend, VllmEngine):
        return _replica_per_pod(tier, backend, name)
    if isinstance(backend, LocalEngine):
        return Group(tier.name, "tier", tier.replicas, tier.replicas, {name: 1}, gpus=1)
    return Group(tier.name, "tier", tier.replicas, 2 * tier.replicas, {name: PLACES})


def _replica_per_pod(tier: TierSettings, engine: VllmEngine, name: str) -> Group:
    scaling = engine.autoscaling
    least = tier.replicas if scaling is None else scaling.min_replicas
    gpus = engine.workers if engine.accelerator == "gpu" else 0
    memory = 32 + 32 * gpus if gpus else 4 + math.ceil(engine.cpu_kv_cache_gib)
    cpu = engine.cpus * engine.workers + 2
    return Group(
        tier.name,
        "tier",
        least,
        max(tier.most_replicas, least),
        {name: engine.workers},
        cpu=cpu,
        cpu_request=cpu,
        memory_gib=memory,
        memory_request_gib=memory,
        gpus=gpus,
        accelerators=(engine.accelerator_type,) if engine.accelerator_type else (),
        vllm=True,
    )


def _sharing(settings: Settings, tiers: list[TierSettings]) -> Group:
    """One pod with the cards that several tiers divide. `ConfigError` where there is more than one
    replica of any: which of them would meet on a card could not be said.
    """
    for tier in tiers:
        if tier.most_replicas > 1:
            raise ConfigError(f"{tier.name}: what shares a GPU has one replica on Kubernetes")
    engines = [_engine(tier) for tier in tiers]
    gpus = max(engine.workers for engine in engines)
    if sum(e.gpu_share * e.workers for e in engines) > gpus:
        raise ConfigError(f"tiers that share GPUs take more than the {gpus} of their pod")
    cpu = sum(e.cpus * e.workers for e in engines) + 2
    kinds = tuple(sorted({e.accelerator_type for e in engines if e.accelerator_type}))
    if len(kinds) > 1:
        raise ConfigError(f"tiers that share a GPU name different ones: {', '.join(kinds)}")
    resources = {place(deployment_of(settings, t)): _engine(t).workers for t in tiers}
    memory = 32 + 32 * gpus
    return Group(SHARED, "tier", 1, 1, resources, cpu, cpu, memory, memory, gpus, kinds, vllm=True)


def _on_vllm(settings: Settings) -> Iterator[TierSettings]:
    for tier in (*settings.tiers, *settings.embedders):
        if isinstance(tier.backend, VllmEngine):
            yield tier


def _engine(tier: TierSettings) -> VllmEngine:
    assert isinstance(tier.backend, VllmEngine)
    return tier.backend
