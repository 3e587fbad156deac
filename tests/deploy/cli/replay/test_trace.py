"""Reading a route trace back."""

from decimal import Decimal
from typing import Any

import pytest

from deploy.cli.replay.trace import RouteTrace, parse_trace
from tests.deploy.cli.endpoint import attempt


def test_an_attempt_is_read_whole() -> None:
    trace = parse_trace({"attempts": [attempt(cost_usd="0.000000000001", simulated=True)]})
    assert trace is not None
    (seen,) = trace.attempts
    assert (seen.tier, seen.kind, seen.outcome, seen.reason) == (
        "small",
        "attempt",
        "accepted",
        "passed",
    )
    assert (seen.prompt_tokens, seen.completion_tokens) == (10, 5)
    assert seen.cost_usd == Decimal("0.000000000001")
    assert seen.baseline_cost_usd == Decimal("0.0001")
    assert seen.ttft_ms == 3.25
    assert seen.simulated


def test_the_final_attempt_is_the_one_that_answered() -> None:
    climbed = attempt(outcome="escalated", baseline_cost_usd=None)
    trace = parse_trace({"attempts": [climbed, attempt("large", outcome="best_effort")]})
    assert trace is not None
    assert trace.final is not None
    assert trace.final.tier == "large"
    failed = parse_trace({"attempts": [attempt(outcome="failed")]})
    assert failed is not None
    assert failed.final is None


def test_the_baseline_may_stand_once_per_route() -> None:
    attempts = [attempt(outcome="escalated"), attempt("large")]
    for one in attempts:
        del one["baseline_cost_usd"]
    trace = parse_trace({"attempts": attempts, "baseline_cost_usd": "0.25"})
    assert trace is not None
    assert [a.baseline_cost_usd for a in trace.attempts] == [None, Decimal("0.25")]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "trace",
        {},
        {"attempts": None},
        {"attempts": ["x"]},
        {"attempts": [attempt(cost_usd=0.1)]},  # through a float it is no longer exact
        {"attempts": [attempt(cost_usd="cheap")]},
        {"attempts": [attempt(prompt_tokens="many")]},
    ],
)
def test_what_is_no_trace_is_none(value: Any) -> None:
    assert parse_trace(value) is None


def test_a_route_without_attempts_is_one() -> None:
    assert parse_trace({"attempts": []}) == RouteTrace()
