"""How many replicas each deployment has, and how much each takes at once: Serve's options, by the
deployments' names. They stand beside the application and not in it, so that a change of them starts
and stops replicas, and replaces none.
"""

from typing import Any

from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine

GATEWAY = "gateway"
EGRESS = "egress"
SEMANTIC = "semantic"
BATCH = "batch"
SPARE_CALLS = 64
WAITING = 100_000
"""At the semantic cache, where whoever waits for another request's answer waits: no limit. Gateways
have theirs.
"""

Options = dict[str, Any]


def sizes(settings: Settings) -> dict[str, Options]:
    """Of every deployment that the configuration has, in the order of the manifests."""
    # The API refuses what is beyond its own limit, and says so in OpenAI's words.
    room = settings.limits.max_concurrent + SPARE_CALLS
    found: dict[str, Options] = {
        GATEWAY: {"num_replicas": settings.ray.gateways, "max_ongoing_requests": room}
    }
    if any(tier.hosted for tier in settings.tiers):
        found[EGRESS] = {"num_replicas": settings.ray.egress}
    if remembers(settings):
        found[SEMANTIC] = {"num_replicas": 1, "max_ongoing_requests": WAITING}
    if works(settings):
        found[BATCH] = {"num_replicas": 1}
    for tier in settings.tiers:
        if not tier.hosted:
            found[tier_deployment(tier.name)] = _replicas(tier)
    for embedder in settings.embedders:
        found[embedder_deployment(embedder.name)] = _replicas(embedder)
    return found


def remembers(settings: Settings) -> bool:
    """Whether there is a semantic cache."""
    return settings.cache.semantic.enabled and settings.mode != "observe"


def works(settings: Settings) -> bool:
    """Whether batches are worked off here."""
    return settings.batch.enabled and settings.batch.worker


def tier_deployment(name: str) -> str:
    return f"tier-{name}"


def embedder_deployment(name: str) -> str:
    return f"embed-{name}"


def _replicas(tier: TierSettings) -> Options:
    engine = tier.backend
    scaling = engine.autoscaling if isinstance(engine, VllmEngine) else None
    if scaling is None or not isinstance(engine, VllmEngine):
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
