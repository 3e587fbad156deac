"""Which tiers get a planner, and with what prices."""

import time
from typing import Any

import pytest

from cache.prompt.planned import PromptCachePlanned
from deploy.prompt_cache import with_prompt_cache
from serving.backend import Backend
from serving.costs.rate_card import RateCard
from serving.engines.mock.engine import MockBackend
from serving.settings.tiers import MockEngine, TierSettings
from serving.telemetry.metrics import Metrics

MOCK = MockEngine(engine="mock")


def tier(model: str = "claude-opus-5-5", **backend: Any) -> TierSettings:
    engine = {"engine": "anthropic", "base_url": "emulator", "emulated": MOCK, **backend}
    return TierSettings.model_validate({"name": "top", "model": model, "backend": engine})


def planned(settings: TierSettings) -> Backend:
    price = RateCard.load().price(settings.model)
    inner = MockBackend(settings, MOCK)
    found = with_prompt_cache(inner, settings, price=price, metrics=Metrics(), clock=time.monotonic)
    assert found is inner or isinstance(found, PromptCachePlanned)
    return found


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-haiku-4-5", "claude-unknown-9"])
def test_claude_s_tiers_are_planned_also_where_no_price_is_known(model: str) -> None:
    assert isinstance(planned(tier(model)), PromptCachePlanned)


def test_others_are_not_and_neither_is_one_that_is_off() -> None:
    local = TierSettings(name="small", model="m", backend=MOCK)
    assert isinstance(planned(local), MockBackend)
    assert isinstance(planned(tier(prompt_cache={"mode": "off"})), MockBackend)
