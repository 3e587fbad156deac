"""What the wiring joins: an adapter and the guard in front of it."""

from contextlib import AsyncExitStack

import pytest

from deploy.adapters import open_adapters
from serving.errors import TierPaused
from serving.settings.tiers import AnthropicEngine, TierSettings
from serving.telemetry.metrics import Metrics
from tests.serving.hosted.fakes import OPUS, call, chat
from tests.serving.hosted.scripted_api import Reply, message, scripted


async def test_a_hosted_tier_keeps_to_what_its_provider_says_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-1")
    name = "anthropic-ratelimit-requests"
    left = {
        f"{name}-limit": "50",
        f"{name}-remaining": "0",
        f"{name}-reset": "2099-01-01T00:00:00Z",
    }
    async with scripted(Reply(message(), headers=left)) as api, AsyncExitStack() as stack:
        engine = AnthropicEngine(engine="anthropic", base_url=api.url, api_key_env="SOME_KEY")
        metrics = Metrics()
        stack.callback(metrics.close)
        tier = TierSettings(name="top", model=OPUS, backend=engine)
        adapter = (await open_adapters([tier], stack, metrics))["top"]
        assert (await adapter.backend.complete(chat("Hi"), call())).first.content
        with pytest.raises(TierPaused):
            await adapter.backend.complete(chat("Hi"), call())
        assert len(api.seen) == 1
