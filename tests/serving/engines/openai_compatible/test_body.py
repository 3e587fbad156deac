from typing import Any

import pytest

from serving.engines.openai_compatible.body import request_body
from serving.settings.tiers import OpenAIEngine
from tests.serving.engines.helpers import ask

USER = {"role": "user", "content": "x"}


def body(stream: bool = False, engine: dict[str, Any] | None = None, /, **params: Any) -> Any:
    settings = {"engine": "openai", "base_url": "http://x/v1", **(engine or {})}
    found = OpenAIEngine.model_validate(settings)
    return request_body(ask(**params), "served", found, stream=stream)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_goes_under_the_servers_name(name: str) -> None:
    for params in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        found = body(False, {"max_tokens_param": name}, **params)
        assert {k: v for k, v in found.items() if k.startswith("max_")} == {name: 5}


def test_nulls_are_left_out() -> None:
    assert set(body(temperature=None, stop=None, x=None)) == {"model", "messages"}


def test_streams_ask_for_usage_whatever_the_client_said() -> None:
    options = {"include_usage": False, "include_obfuscation": False}
    found = body(True, stream=True, stream_options=options)
    assert found["stream"] is True
    assert found["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert set(body(stream=True, stream_options=options)) == {"model", "messages"}


def test_logprobs() -> None:
    assert "logprobs" not in body()
    assert body(False, {"logprobs": True})["logprobs"] is True
    assert "top_logprobs" not in body(False, {"logprobs": True})
    more = body(False, {"logprobs": True, "logprobs_top": 2}, logprobs=True, top_logprobs=5)
    assert more["top_logprobs"] == 5
    assert body(False, {"logprobs": True, "logprobs_top": 7}, logprobs=True)["top_logprobs"] == 7


def test_metadata_stays_here_unless_the_answer_is_stored_or_the_config_names_it() -> None:
    tags = {"feature": "chat"}
    assert "metadata" not in body(metadata=tags)
    assert body(metadata=tags, store=True)["metadata"] == tags
    assert body(False, {"params": ["metadata"]}, metadata=tags)["metadata"] == tags


def test_provider_content_returns_to_its_model_only() -> None:
    block = {"reasoning_details": [{"signature": "s"}], "content": "not this"}
    own = {"provider": "openai", "model": "served", "content": [block]}
    foreign = [
        {**own, "provider": "anthropic"},
        {**own, "model": "other"},
        {**own, "content": "odd"},
        {"odd": 1},
    ]
    turns = [{"role": "assistant", "content": "a", "provider_content": c} for c in (own, *foreign)]
    found = body(messages=[USER, *turns, {**USER, "unheard_of": 1}])["messages"]
    assert found[1] == {
        "role": "assistant",
        "content": "a",
        "reasoning_details": [{"signature": "s"}],
    }
    assert found[2:6] == [{"role": "assistant", "content": "a"}] * 4
    assert found[6] == {**USER, "unheard_of": 1}
