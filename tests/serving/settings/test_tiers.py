"""Limits of tiers: sensible where nothing is said, and bounded where something is."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.settings.tiers import TierLimits, TierSettings

MOCK = {"engine": "mock"}
CLAUDE = {"engine": "anthropic"}
EMULATED = {"engine": "anthropic", "base_url": "emulator", "emulated": MOCK}
SERVER = {"engine": "openai", "base_url": "http://127.0.0.1:1/v1"}
GPU = {"kind": "gpu", "gpu_hour": 2, "prefill_tokens_per_s": 1, "decode_tokens_per_s": 1}


def tier(backend: dict[str, Any], **fields: Any) -> TierSettings:
    return TierSettings.model_validate({"name": "t", "model": "m", "backend": backend, **fields})


@pytest.mark.parametrize(
    ("backend", "fields", "most", "adaptive"),
    [
        (MOCK, {}, 256, False),
        (CLAUDE, {}, 64, True),
        (EMULATED, {}, 64, True),
        (SERVER, {}, 64, True),
        (SERVER, {"price": GPU}, 256, False),
        (MOCK, {"limits": {"adaptive": True, "max_concurrent": 8}}, 8, True),
        (CLAUDE, {"limits": {"adaptive": False}}, 64, False),
    ],
)
def test_hosted_tiers_adapt_and_local_ones_do_not(
    backend: dict[str, Any], fields: dict[str, Any], most: int, adaptive: bool
) -> None:
    found = tier(backend, **fields)
    assert (found.max_concurrent, found.adaptive) == (most, adaptive)


def test_defaults() -> None:
    limits = TierLimits()
    assert (limits.max_queued, limits.queue_timeout_s) == (512, 5.0)
    assert limits.breaker is not None
    assert (limits.breaker.faults, limits.breaker.reset_s) == (5, 10.0)
    assert TierLimits.model_validate({"breaker": None}).breaker is None


@pytest.mark.parametrize(
    "limits",
    [
        {"max_concurrent": 0},
        {"max_queued": -1},
        {"queue_timeout_s": 0},
        {"min_concurrent": 0},
        {"breaker": {"faults": 0}},
        {"breaker": {"reset_s": 0}},
        {"max_waiting": 1},
    ],
)
def test_what_makes_no_sense_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tier(MOCK, limits=limits)
