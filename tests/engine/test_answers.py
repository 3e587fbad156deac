"""What the `openai` SDK gets from vLLM behind the gateway."""

import json
import math
from typing import Any

import jsonschema_rs
import openai
import pytest

from tests.engine.conftest import KEYS
from tests.ray.stack import RayStack

ASK: list[Any] = [{"role": "user", "content": "Where is my order?"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "Rome"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "deliver", "parameters": SCHEMA}}


@pytest.fixture(scope="module")
def client(stack: RayStack) -> openai.OpenAI:
    return stack.client(KEYS["acme"], timeout=120)


def ask(client: openai.OpenAI, **more: Any) -> Any:
    asked = {"model": "local-small", "messages": ASK, "max_tokens": 24, **more}
    return client.chat.completions.create(**asked)


def test_chat(client: openai.OpenAI) -> None:
    answer = ask(client, extra_body={"ignore_eos": True})
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content
    assert answer.choices[0].logprobs is None  # read for the gate, but nobody asked for them
    assert answer.usage.completion_tokens == 24
    assert answer.usage.prompt_tokens > 5


def test_same_seed_same_answer(client: openai.OpenAI) -> None:
    one, two, other = (ask(client, seed=seed, temperature=1.0) for seed in (1, 1, 2))
    assert one.choices[0].message.content == two.choices[0].message.content
    assert one.choices[0].message.content != other.choices[0].message.content


def test_several_choices_and_stop(client: openai.OpenAI) -> None:
    answer = ask(client, n=3, temperature=1.0, extra_body={"ignore_eos": True})
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == 72
    text = ask(client, temperature=0, extra_body={"ignore_eos": True}).choices[0].message.content
    stop = text[3:5]
    stopped = ask(client, temperature=0, stop=[stop], extra_body={"ignore_eos": True}).choices[0]
    assert stopped.finish_reason == "stop"
    assert stopped.message.content == text[: text.index(stop)]


def test_a_stream_is_the_whole_answer(client: openai.OpenAI) -> None:
    whole = ask(client, temperature=0, logprobs=True, top_logprobs=2)
    chunks = list(
        ask(
            client,
            temperature=0,
            logprobs=True,
            top_logprobs=2,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    tokens = [
        t
        for c in chunks
        if c.choices and c.choices[0].logprobs
        for t in c.choices[0].logprobs.content
    ]
    assert text == whole.choices[0].message.content
    assert [t.token for t in tokens] == [t.token for t in whole.choices[0].logprobs.content]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == len(tokens)
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert [r for r in reasons if r] == [whole.choices[0].finish_reason]


def test_logprobs(client: openai.OpenAI) -> None:
    found = ask(client, logprobs=True, top_logprobs=3, temperature=0).choices[0].logprobs.content
    for token in found:
        best = max(t.logprob for t in token.top_logprobs)
        assert len(token.top_logprobs) == 3
        assert math.isclose(token.logprob, best, abs_tol=1e-3)  # greedy takes the likeliest
        assert sum(math.exp(t.logprob) for t in token.top_logprobs) <= 1.001
    bare = ask(client, logprobs=True).choices[0].logprobs.content
    assert all(t.top_logprobs == [] and t.logprob <= 0 for t in bare)


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_is_enforced(client: openai.OpenAI, *, stream: bool) -> None:
    """Of random weights, so nothing but the engine's grammar makes it valid."""
    wanted = {"type": "json_schema", "json_schema": {"name": "plan", "schema": SCHEMA}}
    answer = ask(client, response_format=wanted, max_tokens=200, stream=stream)
    if stream:
        text = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
    else:
        text = answer.choices[0].message.content
    jsonschema_rs.validate(SCHEMA, json.loads(text))


@pytest.mark.parametrize("stream", [False, True])
def test_a_named_tool_is_called(client: openai.OpenAI, *, stream: bool) -> None:
    choice = {"type": "function", "function": {"name": "deliver"}}
    answer = ask(client, tools=[TOOL], tool_choice=choice, max_tokens=200, stream=stream)
    if stream:
        pieces = [p for c in answer if c.choices for p in c.choices[0].delta.tool_calls or ()]
        names = [p.function.name for p in pieces if p.function.name]
        arguments = "".join(p.function.arguments or "" for p in pieces)
    else:
        (call,) = answer.choices[0].message.tool_calls
        names, arguments = [call.function.name], call.function.arguments
    assert names == ["deliver"]
    jsonschema_rs.validate(SCHEMA, json.loads(arguments))


def test_a_required_tool_is_called(client: openai.OpenAI) -> None:
    """The tier's own parser finds the calls in the text; several may stand in it."""
    answer = ask(client, tools=[TOOL], tool_choice="required", max_tokens=400, stream=True)
    chunks = [c for c in answer if c.choices]
    pieces = [p for c in chunks for p in c.choices[0].delta.tool_calls or ()]
    assert pieces[0].function.name == "deliver"
    first = "".join(p.function.arguments or "" for p in pieces if p.index == 0)
    jsonschema_rs.validate(SCHEMA, json.loads(first))


def test_what_one_client_could_do_to_others_is_dropped(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="local-small",
        messages=ASK,
        max_tokens=4,
        extra_body={"priority": -5, "cache_salt": "globex", "chat_template": "{{ 1 }}", "top_k": 2},
    )
    dropped = raw.headers["x-stepwell-dropped-params"].split(",")
    assert sorted(d.strip() for d in dropped) == ["cache_salt", "chat_template", "priority"]


def test_other_parts_are_refused(client: openai.OpenAI) -> None:
    """vLLM would fetch this URL."""
    parts: Any = [{"type": "video_url", "video_url": {"url": "http://127.0.0.1:1/secret"}}]
    with pytest.raises(openai.BadRequestError, match="video_url"):
        ask(client, messages=[{"role": "user", "content": parts}])


def test_a_prompt_that_is_too_long(client: openai.OpenAI) -> None:
    """By our estimate, and where only the engine's own tokenizer knows."""
    with pytest.raises(openai.BadRequestError) as known:
        ask(client, messages=[{"role": "user", "content": "word " * 8_000}])
    dense = "\u4e2d\u6587" * 800  # three bytes, so three tokens, a character
    with pytest.raises(openai.BadRequestError) as found:
        ask(client, messages=[{"role": "user", "content": dense}])
    assert known.value.param == found.value.param == "messages"
    assert found.value.code == "context_length_exceeded"


def test_a_prompt_that_is_too_long_climbs(client: openai.OpenAI) -> None:
    dense = "\u4e2d\u6587" * 800
    messages: Any = [{"role": "user", "content": dense}]
    answer = ask(
        client, model="auto", messages=messages, extra_body={"stepwell": {"explain": True}}
    )
    assert answer.model_extra["stepwell"]["tier"] == "sonnet"


def test_an_unsure_answer_climbs(client: openai.OpenAI) -> None:
    """The gate reads the engine's logprobs: random weights are sure of nothing."""
    answer = ask(client, model="auto", extra_body={"stepwell": {"explain": True}})
    trace = answer.model_extra["stepwell"]
    small = next(a for a in trace["attempts"] if a["tier"] == "local-small")
    assert small["outcome"] == "escalated"
    assert trace["tier"] != "local-small"


def test_tenants_do_not_share_a_prefix(stack: RayStack) -> None:
    """The same long prompt: its own tenant finds it in the engine's memory, the other does not."""
    messages: Any = [{"role": "system", "content": "Never be rude. " * 60}, *ASK]
    cached = []
    for tenant in ("acme", "acme", "globex", "globex"):
        with stack.client(KEYS[tenant], timeout=60) as client:
            answer = ask(client, messages=messages, max_tokens=2)
        cached.append(answer.usage.prompt_tokens_details.cached_tokens)
    assert cached[0] == cached[2] == 0
    assert cached[1] > 100
    assert cached[3] > 100


def test_a_task_has_its_adapter(client: openai.OpenAI) -> None:
    plain, again, loud = (
        ask(client, model="local-large", temperature=0, extra_body={"stepwell": {"task": task}})
        for task in (None, None, "loud")
    )
    assert plain.choices[0].message.content == again.choices[0].message.content
    assert plain.choices[0].message.content != loud.choices[0].message.content
