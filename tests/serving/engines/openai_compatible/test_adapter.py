import time
from pathlib import Path
from typing import Any

import pytest

from serving.backend import Ability
from serving.engines.openai_compatible.adapter import OpenAICompatible, openai_ability
from serving.errors import (
    ConfigError,
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.completion import ToolCallPart, Usage
from tests.serving.engines.helpers import (
    ask,
    call,
    chunks_of,
    engine,
    tier,
)
from tests.serving.engines.openai_compatible.fake import (
    Fake,
    answer,
    answers,
    late,
    settings,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_answer(fake: Fake, backend: OpenAICompatible) -> None:
    fake.reply = answers({**answer("Hi."), "system_fingerprint": "fp", "unheard_of": {"a": 1}})
    whole = await backend.complete(ask("Hello"), call())
    assert whole.first.content == "Hi."
    assert (whole.id, whole.created, whole.model) == ("chatcmpl-1", 1_700_000_000, "served-model")
    assert (whole.usage, whole.system_fingerprint) == (Usage(7, 3), "fp")


async def test_what_the_client_sends_arrives(fake: Fake, backend: OpenAICompatible) -> None:
    request = ask(
        messages=[{"role": "user", "content": "x \ud800", "priority": 3}],
        temperature=0.25,
        chat_template_kwargs={"thinking": False},
        guided_choice=["a", "b"],
        cls=1,
    )
    await backend.complete(request, call())
    assert fake.bodies == [
        {
            "model": "local-model",
            "messages": [{"role": "user", "content": "x \ud800", "priority": 3}],
            "temperature": 0.25,
            "chat_template_kwargs": {"thinking": False},
            "guided_choice": ["a", "b"],
            "cls": 1,
        }
    ]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "too long", "param": "messages"}, TierRejected),
        (413, {}, TierRejected),
        (422, {"message": "bad"}, TierRejected),
        (401, {"message": "wrong key sk-se…cret"}, TierMisconfigured),
        (402, {}, TierMisconfigured),
        (403, {}, TierMisconfigured),
        (404, {"message": "no model"}, TierMisconfigured),
        (408, {}, TierTimeout),
        (409, {}, TierUnavailable),
        (429, {"message": "slow down"}, TierRateLimited),
        (429, {"code": "insufficient_quota"}, TierMisconfigured),
        (500, {}, TierUnavailable),
        (503, {"message": "busy"}, TierUnavailable),
        (529, {}, TierUnavailable),
    ],
)
async def test_statuses(
    fake: Fake,
    backend: OpenAICompatible,
    status: int,
    error: dict[str, str],
    kind: type[TierError],
) -> None:
    fake.reply = answers({"error": error}, status, retry_after="7")
    for asked in (chunks_of(backend, ask()), backend.complete(ask(), call())):
        with pytest.raises(TierError) as caught:
            await asked
        assert type(caught.value) is kind
        assert caught.value.message.startswith("local: ")
        assert "sk-se" not in caught.value.message
        if kind in {TierRateLimited, TierUnavailable}:
            assert caught.value.retry_after == 7
        if status == 400:
            assert caught.value.param == "messages"
            assert "too long" in caught.value.message
    assert len(fake.bodies) == 2  # never retried here


@pytest.mark.parametrize(
    "content",
    [
        "{ not json",
        "",
        '"text"',
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": [{"index": 0}]}',
        '{"choices": [{"index": 0, "message": {"content": 5}}]}',
        '{"choices": "many"}',
        '{"choices": [{"message": {"tool_calls": [{"id": "1"}]}}]}',
        '{"choices": [{"message": {"content": "x"}, "finish_reason": "abort"}]}',
        "[" * 100_000,
    ],
)
async def test_what_is_no_answer(fake: Fake, backend: OpenAICompatible, content: str) -> None:
    fake.reply = answers(content)
    with pytest.raises(TierProtocolError):
        await backend.complete(ask(), call())


async def test_the_wrong_content_type_does_not_matter_for_json(
    fake: Fake, backend: OpenAICompatible
) -> None:
    fake.reply = answers('{"choices": [{"message": {"content": "ok"}}]}', content_type="text/plain")
    assert (await backend.complete(ask(), call())).first.content == "ok"
    fake.reply = answers("<html>gateway</html>", content_type="text/html")
    with pytest.raises(TierProtocolError, match="not JSON"):
        await backend.complete(ask(), call())


async def test_an_error_in_a_200(fake: Fake, backend: OpenAICompatible) -> None:
    fake.reply = answers({"error": {"message": "too long", "code": 400}})
    with pytest.raises(TierRejected, match="too long"):
        await backend.complete(ask(), call())


async def test_a_missing_usage_is_estimated(fake: Fake, backend: OpenAICompatible) -> None:
    fake.reply = answers({**answer("The card is on its way."), "usage": None})
    usage = (await backend.complete(ask(), call())).usage
    assert usage.estimated
    assert 4 <= usage.completion_tokens <= 12
    assert usage.prompt_tokens > 5


@pytest.mark.parametrize(("tier_s", "call_s"), [(0.1, 30.0), (30.0, 0.1), (30.0, -1.0)])
async def test_deadlines(fake: Fake, tier_s: float, call_s: float) -> None:
    fake.reply = late(5)
    backend = OpenAICompatible(settings(fake.url, deadline_s=tier_s))
    began = time.monotonic()
    with pytest.raises(TierTimeout):
        await backend.complete(ask(), call(call_s))
    with pytest.raises(TierTimeout):
        await chunks_of(backend, ask(), call(call_s))
    assert time.monotonic() - began < 2
    await backend.aclose()


async def test_a_server_that_is_not_there() -> None:
    backend = OpenAICompatible(settings("http://127.0.0.1:9/v1"))
    with pytest.raises(TierUnavailable):
        await backend.complete(ask(), call())
    with pytest.raises(TierUnavailable):
        await chunks_of(backend, ask())
    await backend.aclose()


async def test_tools_reasoning_refusal_and_usage_details(
    fake: Fake, backend: OpenAICompatible
) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    body = answer(None, "tool_calls", tool_calls=[called], reasoning_content="hm", refusal="no")
    body["usage"] |= {
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    fake.reply = answers(body)
    whole = await backend.complete(ask(), call())
    choice = whole.first
    assert choice.tool_calls == (ToolCallPart(0, "c1", "f", '{"a": 1}'),)
    assert (choice.finish_reason, choice.reasoning, choice.refusal) == ("tool_calls", "hm", "no")
    assert whole.usage == Usage(7, 3, cached_tokens=4, cache_write_tokens=2, reasoning_tokens=1)


async def test_logprobs_are_asked_for_where_the_tier_gives_them(fake: Fake) -> None:
    backend = OpenAICompatible(settings(fake.url, logprobs=True, logprobs_top=2))
    body = answer("a")
    tops = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -2.5}]
    content = [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": tops}]
    body["choices"][0]["logprobs"] = {"content": content}
    fake.reply = answers(body)
    found = (await backend.complete(ask(), call())).first.logprobs
    assert found is not None
    assert [(t.token, t.logprob, len(t.top)) for t in found] == [("a", -0.1, 2)]
    assert (fake.bodies[0]["logprobs"], fake.bodies[0]["top_logprobs"]) == (True, 2)
    await backend.aclose()


async def test_keys(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "not-for-this-server")
    monkeypatch.setenv("LOCAL_KEY", "key-1")
    (tmp_path / "key").write_text("key-2\n")
    sources: list[dict[str, Any]] = [
        {},
        {"api_key_env": "LOCAL_KEY"},
        {"api_key_file": str(tmp_path / "key")},
    ]
    for fields in sources:
        backend = OpenAICompatible(settings(fake.url, **fields))
        await backend.complete(ask(), call())
        await backend.aclose()
    assert [h.get("authorization") for h in fake.headers] == [None, "Bearer key-1", "Bearer key-2"]
    assert not any("not-for-this-server" in h.values() for h in fake.headers)
    assert not any(name.startswith("openai-") for h in fake.headers for name in h)


async def test_a_key_that_is_configured_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"tiers\.local: .*LOCAL_KEY"):
        OpenAICompatible(settings("http://127.0.0.1:9/v1", api_key_env="LOCAL_KEY"))


async def test_only_for_its_own_engine() -> None:
    with pytest.raises(ConfigError, match="mock"):
        OpenAICompatible(tier(engine()))


async def test_ability() -> None:
    plain = openai_ability(settings("http://x/v1"))
    assert plain == Ability(params=None, context_tokens=32_768)
    fields: dict[str, Any] = {
        "params": ("seed",),
        "tools": False,
        "json_schema": False,
        "logprobs": True,
    }
    few = openai_ability(settings("http://x/v1", **fields, images=True, multiple_choices=True))
    assert few == Ability(
        params=frozenset({"seed"}),
        tools=False,
        json_schema=False,
        logprobs=True,
        images=True,
        multiple_choices=True,
    )
    some = openai_ability(settings("http://x/v1", params=("seed",))).params
    assert some == frozenset(
        {"seed", "tools", "tool_choice", "parallel_tool_calls", "response_format"}
    )
