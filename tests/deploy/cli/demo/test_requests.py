"""The demo's traffic."""

import json
from collections import Counter

from deploy.cli.demo.requests import demo_requests
from deploy.paths import default_config
from serving.costs.estimate import estimate_request_tokens
from serving.settings.load import load_settings
from serving.wire.chat import ChatRequest


def parsed(count: int = 300, seed: int = 20) -> list[ChatRequest]:
    bodies = demo_requests(count, seed)
    return [ChatRequest.model_validate({"model": "auto", **body}) for body in bodies]


def test_the_same_arguments_give_the_same_traffic() -> None:
    assert demo_requests() == demo_requests()
    assert demo_requests() != demo_requests(seed=21)
    assert len(demo_requests(17)) == 17
    assert len(demo_requests(1)) == 1


def test_every_kind_of_request_shows_up_even_in_a_small_demo() -> None:
    features = {(r.metadata or {})["feature"] for r in parsed()}
    assert len(features) == 9
    for requests in (parsed(), parsed(10)):
        assert {(r.metadata or {})["feature"] for r in requests} == features
        assert any(r.tools for r in requests)
        assert any(r.response_format for r in requests)
        assert any(r.options.validators for r in requests)
    assert any(r.stream for r in parsed())
    assert not all(r.stream for r in parsed())


def test_one_document_is_long_enough_for_the_long_task() -> None:
    long_task = load_settings(default_config()).task("long")
    assert long_task is not None
    assert long_task.match.min_prompt_tokens is not None
    sizes = [estimate_request_tokens(r) for r in parsed()]
    assert max(sizes) > long_task.match.min_prompt_tokens
    assert sorted(sizes)[len(sizes) // 2] < 300


def test_people_repeat_themselves_and_each_other() -> None:
    bodies = demo_requests()
    seen = Counter(json.dumps(b["messages"]) for b in bodies)
    assert 100 < len(seen) < len(bodies)
    assert seen.most_common(1)[0][1] >= 5
