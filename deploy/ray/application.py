"""The Serve application of a configuration: its deployments, bound together.

HAProxy ─▶ gateway (n) ─▶ tier-NAME, one deployment per local tier (n)
                      ├─▶ egress, all hosted tiers (n, by a hash of tenant and prompt prefix)
                      ├─▶ embed-NAME, one deployment per embedder (n)
                      └─▶ semantic, the memory of the semantic cache (1)
"""

from collections.abc import Sequence
from typing import Any

from deploy.ray.embed import EmbedderReplica
from deploy.ray.gateway import Gateway
from deploy.ray.semantic import SemanticReplica
from deploy.ray.tier import TierReplica
from deploy.ray.vllm import vllm_deployment
from serving.settings.local import LocalEngine
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine

GATEWAY = "gateway"
EGRESS = "egress"
SEMANTIC = "semantic"
SPARE_CALLS = 64
HEALTH_CHECK_S = 2
QUIET = {"enable_access_log": False, "log_level": "WARNING"}  # the API writes its own line


def application(settings: Settings) -> Any:
    """An application for `serve.run`. Storage must be reachable from every replica under the URL
    in `settings`.
    """
    from ray import serve  # noqa: PLC0415 - an extra

    tiers = {t.name: _tier(settings, t.name) for t in settings.tiers if not t.hosted}
    hosted = [tier.name for tier in settings.tiers if tier.hosted]
    if hosted:
        tiers |= dict.fromkeys(hosted, _egress(settings, hosted))
    tiers |= {e.name: _embedder(settings, e) for e in settings.embedders}
    deployment = serve.deployment(
        name=GATEWAY,
        num_replicas=settings.ray.gateways,
        # The API refuses what is beyond its own limit, and says so in OpenAI's words.
        max_ongoing_requests=settings.limits.max_concurrent + SPARE_CALLS,
        **_common(settings),
    )
    return deployment(serve.ingress()(Gateway)).bind(settings, tiers, _semantic(settings, tiers))


def tier_deployment(name: str) -> str:
    return f"tier-{name}"


def _tier(settings: Settings, name: str) -> Any:
    from ray import serve  # noqa: PLC0415

    tier = settings.tier(name)
    options = {"name": tier_deployment(name), **_bounded(settings, [name])}
    if isinstance(tier.backend, VllmEngine):
        options |= _replicas(tier, tier.backend)
        if tier.most_replicas > 1:
            options |= _sticky()
        return vllm_deployment(settings, tier, options)
    return serve.deployment(num_replicas=tier.replicas, **options)(TierReplica).bind(
        settings, [name]
    )


def _embedder(settings: Settings, embedder: TierSettings) -> Any:
    from ray import serve  # noqa: PLC0415

    options = {"name": f"embed-{embedder.name}", **_room(settings, [embedder])}
    if isinstance(embedder.backend, VllmEngine):
        options |= _replicas(embedder, embedder.backend)
        return vllm_deployment(settings, embedder, options, embeds=True)
    if isinstance(embedder.backend, LocalEngine) and embedder.backend.gpu_share:
        options["ray_actor_options"] = {"num_cpus": 0, "num_gpus": embedder.backend.gpu_share}
    deployment = serve.deployment(num_replicas=embedder.replicas, **options)
    return deployment(EmbedderReplica).bind(settings, embedder)


def _semantic(settings: Settings, handles: dict[str, Any]) -> Any:
    """None where no semantic cache is wanted. There is one replica, so that an answer is found
    wherever it came from; whoever waits for another request's answer waits there.
    """
    from ray import serve  # noqa: PLC0415

    semantic = settings.cache.semantic
    if not semantic.enabled or settings.mode == "observe":
        return None
    common = _common(settings)
    share = {"num_cpus": semantic.ray.num_cpus, "num_gpus": semantic.ray.num_gpus}
    waiting = settings.ray.gateways * (settings.limits.max_concurrent + SPARE_CALLS)
    deployment = serve.deployment(
        name=SEMANTIC,
        num_replicas=1,
        max_ongoing_requests=4 * waiting,
        **{**common, "ray_actor_options": share},
    )
    embedder = settings.embedder(semantic.embedder)
    own = {} if embedder is None else {embedder.name: handles[embedder.name]}
    return deployment(SemanticReplica).bind(settings, own)


def _replicas(tier: TierSettings, engine: VllmEngine) -> dict[str, Any]:
    scaling = engine.autoscaling
    if scaling is None:
        return {"num_replicas": tier.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": scaling.target_ongoing or engine.max_num_seqs,
            "upscale_delay_s": scaling.upscale_delay_s,
            "downscale_delay_s": scaling.downscale_delay_s,
        }
    }


def _egress(settings: Settings, names: list[str]) -> Any:
    """Calls with one session id, a hash of tenant and prompt prefix, meet one replica."""
    from ray import serve  # noqa: PLC0415

    deployment = serve.deployment(
        name=EGRESS, num_replicas=settings.ray.egress, **_sticky(), **_bounded(settings, names)
    )
    return deployment(TierReplica).bind(settings, names)


def _sticky() -> dict[str, Any]:
    """Calls with one session id meet one replica, and the next one where that is full."""
    from ray.serve.config import RequestRouterConfig  # noqa: PLC0415
    from ray.serve.experimental.consistent_hash_router import (  # noqa: PLC0415
        ConsistentHashRouter,
    )

    router = RequestRouterConfig(
        request_router_class=ConsistentHashRouter  # type: ignore[arg-type]  # Ray's stub errs
    )
    return {"request_router_config": router}


def _bounded(settings: Settings, names: list[str]) -> dict[str, Any]:
    """A replica takes what its tiers run and let wait: each tier's own guard queues and refuses, so
    that a full tier does not stand in the way of another. Beyond that calls wait in the gateways,
    as many again.
    """
    return _room(settings, [settings.tier(name) for name in names])


def _room(settings: Settings, tiers: Sequence[TierSettings]) -> dict[str, Any]:
    room = sum(tier.max_concurrent + tier.limits.max_queued for tier in tiers)
    return {
        "max_ongoing_requests": room + SPARE_CALLS,
        "max_queued_requests": room,
        **_common(settings),
    }


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "ray_actor_options": {"num_cpus": 0},
        "graceful_shutdown_timeout_s": settings.server.drain_s,
        "health_check_period_s": HEALTH_CHECK_S,
        "logging_config": QUIET,
    }
