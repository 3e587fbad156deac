"""The semantic cache's wiring."""

from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("numpy", reason="these tests need the extra `cache`")

from deploy.adapters import described
from deploy.semantic import check_extra, memory_for, most_usd, open_embedder
from router.rung import Rung
from serving.backend import Call, ChunkStream
from serving.costs.rate_card import RateCard, tier_price
from serving.engines.mock.embed import MockEmbedder
from serving.engines.mock.engine import MockBackend
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.settings.tiers import MockEngine
from serving.telemetry.metrics import Metrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

PRICE = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 10}


def settings(**changes: Any) -> Settings:
    tiers = [
        {
            "name": name,
            "model": "m",
            "backend": {"engine": "mock"},
            "price": PRICE,
            "output": {"max_tokens": tokens},
        }
        for name, tokens in (("small", 100), ("large", 1_000))
    ]
    return Settings.model_validate({"tiers": tiers, **changes})


class Nobody:
    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        raise AssertionError

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise AssertionError


def rungs(of: Settings) -> list[Rung]:
    card = RateCard.load()
    return [
        Rung(t, Nobody(), described(t, MockBackend(t, engine)).ability, tier_price(t, card))
        for t in of.tiers
        if isinstance(engine := t.backend, MockEngine)
    ]


def chat(**fields: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "Why?"}]
    return ChatRequest.model_validate({"model": "auto", "messages": messages, **fields})


def test_an_audit_may_cost_what_all_tiers_together_do() -> None:
    both = rungs(settings())
    whole = most_usd(both, chat())
    each = [most_usd([rung], chat()) for rung in both]
    assert whole == sum((usd for usd in each if usd is not None), Decimal(0))
    assert whole is not None
    assert Decimal("0.011") < whole < Decimal("0.012")
    limited = most_usd(both, chat(max_tokens=10))
    assert limited is not None
    assert limited < whole / 10
    assert most_usd([both[0], replace(both[1], price=None)], chat()) is None


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "faiss" else 1)
    with pytest.raises(ConfigError, match=r"needs faiss: pip install 'stepwell\[cache\]'"):
        check_extra()


@pytest.mark.parametrize("changes", [{}, {"mode": "observe"}])
async def test_nothing_is_opened_where_it_is_not_wanted(changes: dict[str, Any]) -> None:
    async def never(_: object) -> Any:
        raise AssertionError

    enabled = {"cache": {"semantic": {"enabled": bool(changes)}}}
    wanted = settings(**enabled, **changes)
    nothing: Any = None
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        stack.callback(metrics.close)
        found = await memory_for(wanted, nothing, {}, metrics=metrics, source=never, stack=stack)
    assert found is None


async def test_an_embedder_of_the_configuration_is_asked_where_it_is() -> None:
    backend = {"engine": "mock", "time_scale": 0, "dimensions": 32}
    embedder = {"name": "mini", "model": "m-embed", "backend": backend, "price": PRICE}
    own = settings(embedders=[embedder], cache={"semantic": {"embedder": "mini"}})
    tier = own.embedders[0]
    assert isinstance(tier.backend, MockEngine)
    async with AsyncExitStack() as stack:
        served = {"mini": MockEmbedder(tier, tier.backend)}
        found, dimensions = await open_embedder(own, served, stack)
        assert (found.name, dimensions) == ("m-embed", 32)
        assert (await found.embed(["one", "two"])).shape == (2, 32)
