import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.backend import Ability, Call, ChunkStream
from serving.engines.fit import JSON_INSTRUCTION, Fit, fit, with_instruction
from serving.errors import InvalidRequest
from serving.settings.tiers import OutputPolicy, TierSettings
from serving.wire.chat import ChatRequest, Message
from serving.wire.completion import Completion
from tests.serving.engines.helpers import ask, assembled, call, chunks_of, engine, mock, tier

ALL = Ability(images=True, logprobs=True, multiple_choices=True)
FEW = Ability(params=frozenset({"temperature"}))
BARE = Ability(params=frozenset(), tools=False, forced_tool_choice=False, json_schema=False)
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


def fitted(request: ChatRequest, ability: Ability = ALL, **fields: Any) -> ChatRequest:
    return fit(request, tier(engine(), **fields), ability).request


def dropped(request: ChatRequest, ability: Ability, **fields: Any) -> tuple[str, ...]:
    return fit(request, tier(engine(), **fields), ability).dropped


@pytest.mark.parametrize(
    ("params", "limit"),
    [
        ({}, 100),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 50}, 50),
        ({"max_completion_tokens": 70, "max_tokens": 50}, 70),
        ({"max_tokens": 5_000}, 100),
    ],
)
def test_the_lower_output_limit_counts(params: dict[str, int], limit: int) -> None:
    wire = fitted(ask(**params), output=OutputPolicy(max_tokens=100)).wire()
    assert wire["max_completion_tokens"] == limit
    assert "max_tokens" not in wire


def test_model_effort_and_own_options() -> None:
    request = ask(stepwell={"explain": True})
    assert fitted(request, effort="low").wire() == {
        "model": "local-model",
        "messages": [{"role": "user", "content": "How do I locate my card?"}],
        "reasoning_effort": "low",
        "max_completion_tokens": 4_096,
    }
    assert fitted(ask(reasoning_effort="high"), effort="low").reasoning_effort == "high"
    assert fitted(ask(reasoning_effort="high"), FEW, effort="low").reasoning_effort == "low"
    assert dropped(ask(reasoning_effort="high"), FEW, effort="low") == ("reasoning_effort",)
    assert "reasoning_effort" not in fitted(ask()).wire()
    assert fitted(request).stepwell is None


def test_a_tier_that_takes_all_gets_all() -> None:
    params = {
        "temperature": 0.2,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "tools": [TOOL],
        "tool_choice": "required",
        "response_format": SCHEMA,
        "metadata": {"a": "b"},
        "user": "u",
        "service_tier": "flex",
        "stream": True,
        "stream_options": {"include_usage": True, "x": 1},
        "chat_template_kwargs": {"thinking": False},
    }
    request = ask(**params)
    found = fit(request, tier(engine()), ALL)
    assert found.dropped == ()
    changed = {"model": "local-model", "max_completion_tokens": 4_096}
    assert found.request.wire() == {**request.wire(), **changed}


def test_what_a_tier_lacks_is_dropped_and_named_in_order() -> None:
    request = ask(temperature=1.0, top_k=4, seed=1, stop="x", logprobs=True, top_logprobs=2)
    found = fit(request, tier(engine()), FEW)
    assert found.dropped == ("logprobs", "seed", "stop", "top_k", "top_logprobs")
    assert set(found.request.wire()) == {
        "model",
        "messages",
        "temperature",
        "max_completion_tokens",
    }
    assert request.wire()["top_k"] == 4  # the client's own request is not touched


@pytest.mark.parametrize(
    "params",
    [
        {"logprobs": False},
        {"n": 1},
        {"temperature": None, "unheard_of": None},
        {"response_format": {"type": "text"}},
        {"metadata": {"a": "b"}, "user": "u", "service_tier": "flex"},
        {"tool_choice": "none"},
        {"tools": [], "tool_choice": "auto"},
    ],
)
def test_what_asks_for_nothing_is_no_loss(params: dict[str, Any]) -> None:
    found = fit(ask(**params), tier(engine(), on_unsupported="refuse"), BARE)
    assert found.dropped == ()
    assert set(found.request.wire()) == {"model", "messages", "max_completion_tokens"}


def test_refusing_tiers_name_the_parameter_and_themselves() -> None:
    with pytest.raises(InvalidRequest, match=r"local.*seed, top_k") as caught:
        fit(ask(seed=1, top_k=2), tier(engine(), on_unsupported="refuse"), FEW)
    assert caught.value.param == "seed"
    assert caught.value.code == "unsupported_parameter"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tools"),
        ({"n": 2}, "n"),
        ({"response_format": SCHEMA}, "response_format"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages"),
    ],
)
def test_what_cannot_be_dropped_is_refused(params: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest, match="local") as caught:
        fit(ask(**params), tier(engine()), BARE)
    assert caught.value.param == param


def test_a_forced_tool_choice_cannot_be_dropped() -> None:
    ability = Ability(forced_tool_choice=False)
    named = {"type": "function", "function": {"name": "f"}}
    for choice in ("required", named):
        with pytest.raises(InvalidRequest, match="forced"):
            fit(ask(tools=[TOOL], tool_choice=choice), tier(engine()), ability)
    assert fitted(ask(tools=[TOOL], tool_choice="auto"), ability).tool_choice == "auto"


def test_json_is_asked_for_in_words_where_the_format_cannot_be() -> None:
    found = fit(ask(response_format={"type": "json_object"}), tier(engine()), FEW)
    assert found.dropped == ("response_format",)
    assert found.request.messages[0].text == JSON_INSTRUCTION


def concise(request: ChatRequest) -> list[Message]:
    policy = OutputPolicy(concise=True, instruction="Be brief.")
    return fitted(request, output=policy).messages


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("leading", "expected"),
    [
        ([], [("system", "Be brief.")]),
        ([{"role": "system", "content": "S"}], [("system", "S\n\nBe brief.")]),
        (
            [{"role": "system", "content": "S"}, {"role": "developer", "content": "D"}],
            [("system", "S"), ("developer", "D\n\nBe brief.")],
        ),
        ([{"role": "system", "content": ""}], [("system", "Be brief.")]),
        (
            [{"role": "system", "content": [{"type": "text", "text": "S"}]}],
            [("system", "S\nBe brief.")],
        ),
    ],
)
def test_the_concise_instruction_ends_the_leading_instructions(
    leading: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    later = {"role": "system", "content": "later"}
    request = ask(messages=[*leading, USER, later])
    before = request.wire()
    messages = concise(request)
    assert [(m.role, m.text) for m in messages] == [*expected, ("user", "x"), ("system", "later")]
    assert request.wire() == before


def test_a_cached_part_stays_as_it_is_before_the_instruction() -> None:
    part = {"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}
    messages = concise(ask(messages=[{"role": "system", "content": [part], "name": "n"}, USER]))
    dumped = messages[0].model_dump(exclude_unset=True)
    assert dumped["content"] == [part, {"type": "text", "text": "Be brief."}]
    assert dumped["name"] == "n"


@pytest.mark.parametrize("name", ["cls", "self", "_fields_set", "options", "wire", "model_copy"])
def test_unknown_parameters_may_be_called_anything(name: str) -> None:
    request = ask(**{name: [1]})
    assert fitted(request).wire()[name] == [1]
    assert dropped(request, FEW) == (name,)
    assert name not in fitted(request, FEW).wire()


names = st.sampled_from(
    ["temperature", "seed", "stop", "top_p", "user", "metadata", "n", "logprobs", "x", "options"]
)
values = {"stop": "a", "metadata": {"a": "b"}, "user": "u", "logprobs": True}


@given(st.sets(names), st.sets(names), st.booleans(), st.booleans())
def test_every_parameter_arrives_is_named_or_is_honoured_here(
    asked: set[str], able: set[str], logprobs: bool, several: bool
) -> None:
    request = ask(**{n: values.get(n, 1) for n in asked})
    ability = Ability(params=frozenset(able), logprobs=logprobs, multiple_choices=several)
    found = fit(request, tier(engine()), ability)
    arrived = found.request.wire().keys() & asked
    assert arrived.isdisjoint(found.dropped)
    assert asked - arrived - set(found.dropped) <= {"metadata", "user", "n"}
    unlisted = {"logprobs"} if logprobs else set()
    unlisted |= {"n"} if several else set()
    assert arrived <= able | unlisted
    assert {k: v for k, v in request.wire().items() if k in arrived} == {
        k: v for k, v in found.request.wire().items() if k in arrived
    }


class Recorder:
    """Passes on to a mock and keeps what it got."""

    def __init__(self) -> None:
        self.inner = mock()
        self.seen: list[ChatRequest] = []

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self.seen.append(request)
        return await self.inner.complete(request, call)

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        self.seen.append(request)
        return self.inner.stream(request, call)


def wrapped(**fields: Any) -> tuple[Recorder, Fit, TierSettings]:
    inner, settings = Recorder(), tier(engine(), **fields)
    return inner, Fit(inner, tier=settings, ability=FEW), settings


async def test_the_wrapper_passes_the_fitted_request_on_and_names_what_it_dropped() -> None:
    inner, backend, settings = wrapped()
    request, at = ask(seed=4), call()
    whole = await backend.complete(request, at)
    streamed = assembled(await chunks_of(backend, request, at))
    expected = fit(request, settings, FEW).request
    assert inner.seen == [expected, expected]
    assert streamed.choices == whole.choices
    assert at.trace.dropped == ["seed"]


async def test_the_wrapper_refuses_before_the_tier_is_asked() -> None:
    inner, backend, _ = wrapped(on_unsupported="refuse")
    with pytest.raises(InvalidRequest):
        await backend.complete(ask(seed=4), call())
    with pytest.raises(InvalidRequest):
        await chunks_of(backend, ask(seed=4))
    assert inner.seen == []


async def test_closing_the_wrapper_stops_the_tier() -> None:
    inner, backend, _ = wrapped()
    stream = backend.stream(ask(), call())
    await anext(stream)
    assert inner.inner.running == 1
    await stream.aclose()
    assert inner.inner.running == 0


def test_fitting_shares_the_messages_and_is_cheap() -> None:
    request = ask(messages=[USER] * 500, temperature=0.5, seed=1)
    assert fitted(request).messages is request.messages
    began = time.perf_counter()
    for _ in range(200):
        fitted(request, FEW)
    assert (time.perf_counter() - began) / 200 < 1e-3


def test_instructions_are_added_one_after_the_other() -> None:
    messages = with_instruction(with_instruction(ask().messages, "A"), "B")
    assert [m.text for m in messages] == ["A\n\nB", "How do I locate my card?"]
