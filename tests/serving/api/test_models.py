"""The model list."""

import openai
import pytest

from tests.serving.api.scripted import Scripted
from tests.serving.api.server import PRICE, serving


async def test_the_cascade_each_tier_and_each_alias() -> None:
    async with serving(Scripted()) as server:
        listed = {m.id: m async for m in server.sdk().models.list()}
    assert list(listed) == ["auto", "small", "large", "gpt-4o"]
    assert {m.object for m in listed.values()} == {"model"}
    about = {name: (m.model_extra or {})["stepwell"] for name, m in listed.items()}
    assert about["auto"] == {"kind": "cascade", "mode": "cascade", "tiers": ["small", "large"]}
    assert about["gpt-4o"] == {"kind": "alias", "of": "auto"}
    assert about["small"]["price"] == PRICE
    assert about["small"]["model"] == "mock-small"
    assert about["small"]["simulated"] is True
    assert about["large"]["price"] is None


async def test_embedders_go_by_their_names_and_their_models() -> None:
    mini = {"name": "mini", "model": "bge-mini", "backend": {"engine": "mock"}}
    async with serving(Scripted(), embedders=[mini], aliases={"ada": "mini"}) as server:
        listed = {m.id: m async for m in server.sdk().models.list()}
    assert list(listed) == ["auto", "small", "large", "mini", "ada", "bge-mini"]
    about = {name: (m.model_extra or {})["stepwell"] for name, m in listed.items()}
    assert about["ada"] == about["bge-mini"] == {"kind": "alias", "of": "mini"}
    assert about["mini"] == {
        "kind": "embedder",
        "model": "bge-mini",
        "engine": "mock",
        "context_tokens": 32_768,
        "price": None,
        "simulated": True,
    }


async def test_one_model() -> None:
    async with serving(Scripted(), aliases={"org/model:tag": "small"}) as server:
        sdk = server.sdk()
        assert (await sdk.models.retrieve("small")).id == "small"
        assert (await sdk.models.retrieve("org/model:tag")).id == "org/model:tag"
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.models.retrieve("nope")
    assert caught.value.code == "model_not_found"
