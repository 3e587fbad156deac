"""The Serve application of a configuration: its deployments, bound together.

HAProxy ─▶ gateway (n) ─▶ tier-NAME, one deployment per local tier (n)
                      ├─▶ egress, all hosted tiers (n, by a hash of tenant and prompt prefix)
                      ├─▶ embed-NAME, one deployment per embedder (n)
                      └─▶ semantic, the memory of the semantic cache (1)
batch (1), which works off batches, calls all of them but the gateways
"""

from collections.abc import Sequence
from typing import Any

from deploy.ray.batch import BatchReplica
from deploy.ray.embed import EmbedderReplica
from deploy.ray.gateway import Gateway
from deploy.ray.semantic import SemanticReplica
from deploy.ray.sizes import (
    BATCH,
    EGRESS,
    GATEWAY,
    SEMANTIC,
    SPARE_CALLS,
    Options,
    embedder_deployment,
    remembers,
    sizes,
    tier_deployment,
    works,
)
from deploy.ray.tier import TierReplica
from deploy.ray.vllm import vllm_deployment
from serving.settings.local import LocalEngine
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine

SURGE: Options = {"max_surge_percent": 100}
"""New replicas are ready before old ones go, so that no request finds nobody. Not where a replica
holds a GPU: there is none for a second one.
"""

HEALTH_CHECK_S = 2
QUIET = {"enable_access_log": False, "log_level": "WARNING"}  # the API writes its own line


def application(settings: Settings, *, given: bool = False) -> Any:
    """An application for `serve.run`. Storage must be reachable from every replica under the URL
    in `settings`. Where more is `given` to gateways and the semantic cache, as Serve's
    `user_config`, they wait for it, and `settings` need to be the built-in part alone
    (`deploy.ray.parts`).
    """
    from ray import serve  # noqa: PLC0415 - an extra

    tiers = {t.name: _tier(settings, t.name) for t in settings.tiers if not t.hosted}
    hosted = [tier.name for tier in settings.tiers if tier.hosted]
    if hosted:
        tiers |= dict.fromkeys(hosted, _egress(settings, hosted))
    tiers |= {e.name: _embedder(settings, e) for e in settings.embedders}
    deployment = serve.deployment(
        name=GATEWAY, **SURGE, **sizes(settings)[GATEWAY], **_common(settings)
    )
    known = None if given else settings
    semantic = _semantic(settings, tiers, known)
    return deployment(serve.ingress()(Gateway)).bind(
        known, tiers, semantic, _batch(settings, tiers, semantic, known)
    )


def _tier(settings: Settings, name: str) -> Any:
    from ray import serve  # noqa: PLC0415

    tier = settings.tier(name)
    deployment = tier_deployment(name)
    options = {"name": deployment, **sizes(settings)[deployment], **_bounded(settings, [name])}
    if isinstance(tier.backend, VllmEngine):
        return vllm_deployment(settings, tier, options | _sticky())
    return serve.deployment(**SURGE, **options)(TierReplica).bind(settings, [name])


def _embedder(settings: Settings, embedder: TierSettings) -> Any:
    from ray import serve  # noqa: PLC0415

    name = embedder_deployment(embedder.name)
    options = {"name": name, **sizes(settings)[name], **_room(settings, [embedder])}
    if isinstance(embedder.backend, VllmEngine):
        return vllm_deployment(settings, embedder, options, embeds=True)
    if isinstance(embedder.backend, LocalEngine) and embedder.backend.gpu_share:
        options["ray_actor_options"] = {"num_cpus": 0, "num_gpus": embedder.backend.gpu_share}
    else:
        options |= SURGE
    return serve.deployment(**options)(EmbedderReplica).bind(settings, embedder)


def _semantic(settings: Settings, handles: dict[str, Any], known: Settings | None) -> Any:
    """None where no semantic cache is wanted. There is one replica, so that an answer is found
    wherever it came from.
    """
    from ray import serve  # noqa: PLC0415

    if not remembers(settings):
        return None
    semantic = settings.cache.semantic
    common = _common(settings)
    share = {"num_cpus": semantic.ray.num_cpus, "num_gpus": semantic.ray.num_gpus}
    deployment = serve.deployment(
        name=SEMANTIC,
        **sizes(settings)[SEMANTIC],
        **({} if semantic.ray.num_gpus else SURGE),
        **{**common, "ray_actor_options": share},
    )
    embedder = settings.embedder(semantic.embedder)
    own = {} if embedder is None else {embedder.name: handles[embedder.name]}
    return deployment(SemanticReplica).bind(known, own)


def _batch(
    settings: Settings, handles: dict[str, Any], semantic: Any, known: Settings | None
) -> Any:
    """None where batches are not worked off."""
    from ray import serve  # noqa: PLC0415

    if not works(settings):
        return None
    deployment = serve.deployment(name=BATCH, **sizes(settings)[BATCH], **_common(settings))
    return deployment(BatchReplica).bind(known, handles, semantic)


def _egress(settings: Settings, names: list[str]) -> Any:
    """Calls with one session id, a hash of tenant and prompt prefix, meet one replica."""
    from ray import serve  # noqa: PLC0415

    options = {**sizes(settings)[EGRESS], **SURGE, **_sticky(), **_bounded(settings, names)}
    deployment = serve.deployment(name=EGRESS, **options)
    return deployment(TierReplica).bind(settings, names)


def _sticky() -> dict[str, Any]:
    """Calls with one session id meet one replica, and the next one where that is full. However
    many there are: how calls are passed is part of a version, and a number of replicas is not.
    """
    from ray.serve.config import RequestRouterConfig  # noqa: PLC0415
    from ray.serve.experimental.consistent_hash_router import (  # noqa: PLC0415
        ConsistentHashRouter,
    )

    router = RequestRouterConfig(
        request_router_class=ConsistentHashRouter  # type: ignore[arg-type]  # Ray's stub errs
    )
    return {"request_router_config": router}


def _bounded(settings: Settings, names: list[str]) -> dict[str, Any]:
    """A replica takes what its tiers run and let wait, in the two queues of each: each tier's own
    guard queues and refuses, so that a full tier does not stand in the way of another, nor calls
    that can wait in that of others. Beyond that calls wait in the gateways, as many again.
    """
    return _room(settings, [settings.tier(name) for name in names])


def _room(settings: Settings, tiers: Sequence[TierSettings]) -> dict[str, Any]:
    room = sum(tier.max_concurrent + 2 * tier.limits.max_queued for tier in tiers)
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
