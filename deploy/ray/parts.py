"""A configuration in the parts that Serve gets it in, so that a change replaces no more than those
who read what has changed.

- `built_in`: what deployments there are and what engines need. It is the argument of the
  application's builder, by which Serve names a version: a change of it replaces every replica.
- `given`: what gateways read, thresholds, tasks, keys and all, handed to them as Serve's
  `user_config`: a change of it replaces them, one after another, and no tier. The semantic cache
  gets what it reads of that.
- numbers of replicas are in neither: they stand with the deployments (`deploy.ray.sizes`).
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from deploy.ray.sizes import BATCH, GATEWAY, SEMANTIC
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import Autoscaling, VllmEngine

Written = dict[str, Any]
"""A configuration as it stands in its file."""

BUILT_IN = ("runtime", "mode", "server", "storage", "log", "rates", "tiers", "embedders")
OF_SEMANTIC = ("enabled", "ray", "embedder")
OF_BATCH = ("enabled", "worker")
NOT_REMEMBERED = (
    "aliases",
    "batch",
    "conversations",
    "keys",
    "limits",
    "server",
    "spot_checks",
    "stream",
)
"""What the semantic cache never looks at; of a tier, its gate."""

OF_GATEWAYS = ("gate", "retries", "on_unsupported")
"""Of a tier: its replicas never look at these, nor, where it is no hosted one, at the next."""

OF_GATEWAYS_LOCAL = ("price", "output")
VERSION = "STEPWELL_CONFIG"
"""The variable that tells a replica's version of `given`; Serve replaces replicas by it."""


def built_in(settings: Settings, written: Mapping[str, Any]) -> Written:
    """A valid configuration as well."""
    found = {key: copy.deepcopy(written[key]) for key in BUILT_IN if key in written}
    for tier, text in _tiers(settings, found):
        for key in ("replicas", *OF_GATEWAYS, *(OF_GATEWAYS_LOCAL if _local(tier) else ())):
            text.pop(key, None)
        text.get("backend", {}).pop("autoscaling", None)
    semantic = (written.get("cache") or {}).get("semantic") or {}
    if wanted := {key: copy.deepcopy(semantic[key]) for key in OF_SEMANTIC if key in semantic}:
        found["cache"] = {"semantic": wanted}
    batch = written.get("batch") or {}
    if wanted := {key: batch[key] for key in OF_BATCH if key in batch}:
        found["batch"] = wanted
    return found


def given(settings: Settings, written: Mapping[str, Any]) -> Written:
    """A valid configuration as well."""
    found = {key: copy.deepcopy(value) for key, value in written.items() if key != "ray"}
    for tier, text in _tiers(settings, found):
        text.pop("replicas", None)
        if (scaling := text["backend"].pop("autoscaling", None)) and _sleeps(tier):
            text["backend"]["autoscaling"] = {"min_replicas": scaling["min_replicas"]}
    return found


def given_to_semantic(settings: Settings, written: Mapping[str, Any]) -> Written:
    """A valid configuration as well."""
    found = given(settings, written)
    for key in NOT_REMEMBERED:
        found.pop(key, None)
    for _, text in _tiers(settings, found):
        text.pop("gate", None)
    return found


GIVEN = {GATEWAY: given, BATCH: given, SEMANTIC: given_to_semantic}
"""The part that is given to each deployment which waits for one."""


def whole(config: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> Written:
    """The configuration that `given` and the deployments' `sizes` were made of."""
    found = copy.deepcopy(dict(config))
    counts = {
        of: options[name]["num_replicas"]
        for of, name in (("gateways", "gateway"), ("egress", "egress"))
        if "num_replicas" in options.get(name, {})
    }
    if counts:
        found["ray"] = counts
    for kind, prefix in (("tiers", "tier"), ("embedders", "embed")):
        for text in found.get(kind) or []:
            option = options.get(f"{prefix}-{text['name']}", {})
            if "num_replicas" in option:
                text["replicas"] = option["num_replicas"]
            if scaling := option.get("autoscaling_config"):
                text["backend"]["autoscaling"] = {
                    "target_ongoing": scaling["target_ongoing_requests"],
                    **{key: scaling[key] for key in Autoscaling.model_fields if key in scaling},
                }
    return found


def version(config: Mapping[str, Any]) -> str:
    """Of a `given` part, in characters."""
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _tiers(settings: Settings, written: Written) -> list[tuple[TierSettings, Written]]:
    """Tiers and embedders, as they are meant and as they are written."""
    texts = [*(written.get("tiers") or []), *(written.get("embedders") or [])]
    return list(zip((*settings.tiers, *settings.embedders), texts, strict=True))


def _local(tier: TierSettings) -> bool:
    return isinstance(tier.backend, VllmEngine)


def _sleeps(tier: TierSettings) -> bool:
    scaling = tier.backend.autoscaling if isinstance(tier.backend, VllmEngine) else None
    return scaling is not None and scaling.min_replicas == 0
