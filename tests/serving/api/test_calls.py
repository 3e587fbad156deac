"""From a body and a key to a call."""

import time
from typing import Any

import pytest

from serving.api.auth import Caller
from serving.api.calls import call_for
from serving.api.exchange import Exchange
from serving.backend import Call
from serving.errors import ClientError, Forbidden, InvalidRequest, NotFound
from serving.settings.keys import KeyLimits
from serving.wire.chat import ChatRequest
from tests.serving.api.server import chat, settings


def called(limits: KeyLimits | None = None, **body: Any) -> tuple[ChatRequest, Call]:
    exchange = Exchange("req_1", None, "POST", "/v1/chat/completions")
    exchange.caller = Caller("acme", "k1", frozenset({"chat"}), limits or KeyLimits())
    request = ChatRequest.model_validate({**chat(), **body})
    return call_for(request, exchange, settings(request_deadline_s=60))


def refused(limits: KeyLimits | None = None, **body: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        called(limits, **body)
    return caught.value


def test_it_says_who_and_until_when() -> None:
    _, call = called()
    assert (call.request_id, call.tenant, call.key_id) == ("req_1", "acme", "k1")
    assert 59 < call.remaining <= 60
    assert abs(call.trace.started - time.monotonic()) < 1


def test_a_request_may_shorten_its_deadline_only() -> None:
    assert called(stepwell={"deadline_ms": 500})[1].remaining <= 0.5
    assert called(stepwell={"deadline_ms": 80_000_000})[1].remaining <= 60


@pytest.mark.parametrize(("name", "seen"), [("gpt-4o", "auto"), ("large", "large")])
def test_names_resolve(name: str, seen: str) -> None:
    request, _ = called(model=name)
    assert request.model == seen
    assert request.wire()["model"] == seen


def test_an_unknown_model_is_not_found() -> None:
    error = refused(model="nope")
    assert isinstance(error, NotFound)
    assert (error.param, error.code) == ("model", "model_not_found")
    assert "nope" in error.message


@pytest.mark.parametrize(
    ("allowed", "asked", "bound"),
    [
        (None, None, None),
        ("small", None, "small"),
        (None, "large", "large"),
        ("small", "large", "small"),
        ("large", "small", "small"),
    ],
)
def test_the_lower_bound_on_tiers_holds(
    allowed: str | None, asked: str | None, bound: str | None
) -> None:
    _, call = called(KeyLimits(max_tier=allowed), stepwell={"max_tier": asked})
    assert call.max_tier == bound


def test_a_tier_above_the_key_is_forbidden() -> None:
    assert isinstance(refused(KeyLimits(max_tier="small"), model="large"), Forbidden)
    assert called(KeyLimits(max_tier="large"), model="small")[1].max_tier == "large"


def test_an_unknown_bound_is_named() -> None:
    error = refused(stepwell={"max_tier": "huge"})
    assert error.param == "stepwell.max_tier"
    assert "small, large" in error.message


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_more_output_than_the_key_allows_is_refused(name: str) -> None:
    error = refused(KeyLimits(max_output_tokens=100), **{name: 101})
    assert isinstance(error, InvalidRequest)
    assert error.param == name
    assert "100" in error.message


def test_output_left_open_is_capped() -> None:
    limits = KeyLimits(max_output_tokens=100)
    request, _ = called(limits)
    assert request.output_limit == 100
    assert request.wire()["max_completion_tokens"] == 100
    assert called(limits, max_tokens=7)[0].output_limit == 7
    assert called(max_tokens=7_000)[0].output_limit == 7_000


def test_tags_come_from_metadata_and_stepwell_wins() -> None:
    metadata = {"feature": "a", "task": "b", "session": "c", "step": "d"}
    _, call = called(metadata=metadata, stepwell={"task": "own", "step": "e"})
    assert (call.feature, call.task, call.session, call.step) == ("a", "own", "c", "e")


@pytest.mark.parametrize("tag", ["x" * 129, "a\u0000b", "two\nlines", "\u202e"])
def test_tags_are_fit_for_a_ledger(tag: str) -> None:
    assert refused(metadata={"feature": tag}).param == "metadata.feature"


def test_other_metadata_is_the_clients_own() -> None:
    _, call = called(metadata={"note": "two\nlines", "feature": ""})
    assert call.feature is None
