"""The Serve application of a configuration: its deployments, bound together.

HAProxy ─▶ gateway (n) ─▶ tier-NAME, one deployment per local tier (n)
                      └─▶ egress, all hosted tiers (n, by a hash of tenant and prompt prefix)
"""

from typing import Any

from deploy.ray.gateway import Gateway
from deploy.ray.tier import TierReplica
from serving.settings.root import Settings

GATEWAY = "gateway"
EGRESS = "egress"
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
    deployment = serve.deployment(
        name=GATEWAY,
        num_replicas=settings.ray.gateways,
        # The API refuses what is beyond its own limit, and says so in OpenAI's words.
        max_ongoing_requests=settings.limits.max_concurrent + SPARE_CALLS,
        **_common(settings),
    )
    return deployment(serve.ingress()(Gateway)).bind(settings, tiers)


def tier_deployment(name: str) -> str:
    return f"tier-{name}"


def _tier(settings: Settings, name: str) -> Any:
    from ray import serve  # noqa: PLC0415

    deployment = serve.deployment(
        name=tier_deployment(name),
        num_replicas=settings.tier(name).replicas,
        **_bounded(settings, [name]),
    )
    return deployment(TierReplica).bind(settings, [name])


def _egress(settings: Settings, names: list[str]) -> Any:
    """Calls with one session id, a hash of tenant and prompt prefix, meet one replica."""
    from ray import serve  # noqa: PLC0415
    from ray.serve.config import RequestRouterConfig  # noqa: PLC0415
    from ray.serve.experimental.consistent_hash_router import (  # noqa: PLC0415
        ConsistentHashRouter,
    )

    deployment = serve.deployment(
        name=EGRESS,
        num_replicas=settings.ray.egress,
        request_router_config=RequestRouterConfig(
            request_router_class=ConsistentHashRouter  # type: ignore[arg-type]  # Ray's stub errs
        ),
        **_bounded(settings, names),
    )
    return deployment(TierReplica).bind(settings, names)


def _bounded(settings: Settings, names: list[str]) -> dict[str, Any]:
    """A replica takes what its tiers run and let wait: each tier's own guard queues and refuses, so
    that a full tier does not stand in the way of another. Beyond that calls wait in the gateways,
    as many again.
    """
    tiers = [settings.tier(name) for name in names]
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
