import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.mock.brain import ask as question
from serving.engines.mock.faults import REFUSAL
from serving.engines.mock.plan import Plan, plan
from serving.engines.mock.tokenizer import prompt_tokens, tokens
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice
from tests.serving.engines.helpers import ask, engine

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
ABLE = engine(ability=50)
UNABLE = engine(ability=-50)


def planned(request: ChatRequest, tier: str = "local", **settings: Any) -> Plan:
    return plan(request, tier, engine(ability=50, **settings), None)


def first(request: ChatRequest, tier: str = "local", **settings: Any) -> Choice:
    return planned(request, tier, **settings).choices[0].answer


def faulty(fault: str, text: str = "Where is my card?", /, **params: Any) -> Choice:
    return first(ask(text, metadata={"mock_fault": fault}, **params))


REQUESTS = [
    ask(),
    ask("Hello"),
    ask("Write a python function that sorts invoices"),
    ask("Who is it?", response_format=FORMAT),
    ask("What is the weather in Paris?", tools=[WEATHER]),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_able_tiers_agree_and_unable_ones_are_wrong(request_: ChatRequest) -> None:
    one, two = (plan(request_, t, ABLE, None).choices[0].answer for t in ("a", "b"))
    wrong = plan(request_, "c", UNABLE, None).choices[0].answer
    assert (one.content, one.tool_calls) == (two.content, two.tool_calls)
    assert (one.content, one.tool_calls) != (wrong.content, wrong.tool_calls)
    assert one.logprobs != two.logprobs


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_same_request_has_the_same_plan(request_: ChatRequest) -> None:
    again = ChatRequest.model_validate(
        json.loads(request_.model_dump_json(by_alias=True, exclude_unset=True))
    )
    assert planned(request_) == planned(again)
    assert planned(request_).usage.prompt_tokens == prompt_tokens(request_)


def test_plans_do_not_depend_on_the_process() -> None:
    code = (
        "from tests.serving.engines.mock.test_plan import REQUESTS, planned\n"
        "from hashlib import sha256\n"
        "print(sha256(repr([planned(r) for r in REQUESTS]).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[4],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert found != {""}


def test_right_answers_validate_and_wrong_ones_often_do_not() -> None:
    validator = jsonschema_rs.validator_for(SCHEMA)
    asked = [ask(f"Who is number {i}?", response_format=FORMAT) for i in range(300)]
    for request in asked:
        answer = plan(request, "a", ABLE, None).choices[0].answer
        assert answer.content is not None
        validator.validate(json.loads(answer.content))

    def passes(text: str | None) -> bool:
        try:
            return validator.is_valid(json.loads(text or ""))
        except ValueError:
            return False

    wrong = [plan(r, "a", UNABLE, None).choices[0].answer.content for r in asked]
    assert 0.6 < mean(passes(w) for w in wrong) < 0.8


def test_logprobs_are_one_per_token_and_off_where_the_engine_has_none() -> None:
    for request in REQUESTS:
        answer = first(request)
        assert answer.logprobs is not None
        assert len(answer.logprobs) == planned(request).usage.completion_tokens
        assert first(request, logprobs=False).logprobs is None
        if answer.content is not None:
            assert "".join(t.token for t in answer.logprobs) == answer.content
    assert first(ask(logprobs=True, top_logprobs=3)).logprobs[0].top  # type: ignore[index]  # on


def test_the_mean_logprob_tells_right_from_wrong() -> None:
    middle = engine(ability=-0.3, signal=0.9)
    right: list[float] = []
    wrong: list[float] = []
    for i in range(400):
        request = ask(f"Where is card {i}?")
        answer = plan(request, "a", middle, None).choices[0].answer
        truth = plan(request, "a", ABLE, None).choices[0].answer
        assert answer.logprobs is not None
        (right if answer.content == truth.content else wrong).append(
            mean(t.logprob for t in answer.logprobs)
        )
    assert min(len(right), len(wrong)) > 80
    above = mean(r > w for r in right for w in wrong)
    assert abs(above - 0.95) < 0.03


def test_seeds_choices_and_tasks() -> None:
    middle = engine(ability=question(ask()).difficulty, task_ability={"easy": 50})
    texts = {plan(ask(seed=s), "a", middle, None).choices[0].answer.content for s in range(30)}
    assert len(texts) > 5  # the true answer and different wrong ones
    several = plan(ask(n=8), "a", middle, None)
    assert [c.answer.index for c in several.choices] == list(range(8))
    assert len({c.answer.content for c in several.choices}) > 1
    assert several.usage.completion_tokens == sum(len(c.pieces) for c in several.choices)
    assert plan(ask(), "a", middle, "easy").choices[0].answer.content == first(ask()).content


@given(st.integers(1, 60))
def test_token_limits(limit: int) -> None:
    whole, cut = planned(ask()), planned(ask(max_completion_tokens=limit))
    full = tokens(whole.choices[0].answer.content or "")
    answer = cut.choices[0].answer
    assert answer.content == "".join(full[:limit])
    assert cut.usage.completion_tokens == min(limit, len(full))
    assert answer.finish_reason == ("length" if limit < len(full) else "stop")


def test_stop_sequences() -> None:
    whole = first(ask()).content or ""
    word = whole.split()[3]
    answer = first(ask(stop=[word, "never there"]))
    assert answer.content == whole[: whole.index(word)]
    assert answer.finish_reason == "stop"
    nothing = first(ask(stop=whole[0]))
    assert (nothing.content, nothing.logprobs) == ("", None)


def test_tool_calls_finish_so_and_may_be_cut() -> None:
    request = ask("What is the weather in Paris?", tools=[WEATHER])
    answer = first(request)
    assert (answer.content, answer.finish_reason) == (None, "tool_calls")
    assert json.loads(answer.tool_calls[0].arguments)["city"]
    cut = first(request.model_copy(update={"max_tokens": 5}))
    assert cut.finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.tool_calls[0].arguments)


def test_refusal() -> None:
    answer = faulty("refuse")
    assert answer.content == answer.refusal == REFUSAL


def test_truncation() -> None:
    answer = faulty("truncate", response_format=FORMAT)
    assert answer.finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content or "")


def test_garbage_is_unsure_and_no_json() -> None:
    means = []
    for i in range(60):
        answer = faulty("garbage", f"Who is number {i}?", response_format=FORMAT)
        assert answer.logprobs is not None
        means.append(mean(t.logprob for t in answer.logprobs))
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.content or "")
    assert mean(means) < -0.6
    called = faulty("garbage", "What is the weather?", tools=[WEATHER])
    assert called.tool_calls[0].name == "get_weather"
    with pytest.raises(json.JSONDecodeError):
        json.loads(called.tool_calls[0].arguments)


def test_repetition() -> None:
    text = faulty("repeat").content or ""
    assert text.count(" ".join(text.split()[:8])) == 20


def test_latency() -> None:
    plans = [
        planned(ask(f"card {i}?"), ttft_ms=100, tokens_per_s=50, jitter=0.5) for i in range(200)
    ]
    assert all(0.05 <= p.first_s <= 0.15 for p in plans)
    assert all(0.01 <= p.per_token_s <= 0.03 for p in plans)
    assert abs(mean(p.first_s for p in plans) - 0.1) < 0.01
    assert planned(ask(), jitter=0, ttft_ms=30).first_s == 0.03
    slow = planned(ask(metadata={"mock_fault": "slow"}), jitter=0, ttft_ms=30)
    assert slow.first_s == pytest.approx(0.3)
