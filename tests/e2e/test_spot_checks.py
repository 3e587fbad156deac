"""Spot checks through the whole stack: metered, logged, and what they find wrong is forgotten."""

import json
import time
from pathlib import Path
from typing import Any

from tests.e2e.configs import ladder
from tests.e2e.stack import Stack, running

QUESTION: list[Any] = [{"role": "user", "content": "Why is my transfer to Spain late?"}]


def config(**small: Any) -> dict[str, Any]:
    """Every cheap answer is cached and checked by the most expensive tier."""
    task = {
        "name": "default",
        "gate": "off",
        "cache": {"enabled": True},
        "spot_check": {"share": 1.0, "compare": "exact", "store_text": True},
    }
    found = ladder(default_task=task)
    found["tiers"][0]["backend"] |= small
    return found


def ask(stack: Stack) -> dict[str, Any]:
    with stack.client() as client:
        answer = client.chat.completions.create(model="auto", messages=QUESTION)
    figures: dict[str, Any] = (answer.usage.model_extra or {})["stepwell"] if answer.usage else {}
    return figures


def outcomes(stack: Stack) -> list[dict[str, Any]]:
    until = time.monotonic() + 10
    while not (rows := stack.rows("SELECT * FROM outcomes")) and time.monotonic() < until:
        time.sleep(0.05)
    return rows


def test_a_right_answer_stays_in_the_cache(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        assert ask(stack)["cache"] == "miss"
        (outcome,) = outcomes(stack)
        (check,) = stack.rows("SELECT * FROM attempts WHERE kind = 'spot_check'")
        again = ask(stack)
    assert outcome["agreed"]
    tiers = json.loads(outcome["tiers"])
    assert tiers["small"]["correct"] == tiers["opus"]["correct"] == 1.0
    assert (check["tier"], check["outcome"], check["reason"]) == ("opus", "compared", "agreed")
    assert check["cost"] > 0
    assert again["cache"] == "exact"


def test_a_wrong_answer_is_forgotten(tmp_path: Path) -> None:
    with running(config(ability=-9.0), tmp_path) as stack:
        assert ask(stack)["cache"] == "miss"
        (outcome,) = outcomes(stack)
        again = ask(stack)
    assert not outcome["agreed"]
    assert again["cache"] == "miss"
