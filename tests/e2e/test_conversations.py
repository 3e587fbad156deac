"""Conversations through whole stacks: each turn starts where the last one was served, whichever
gateway it reaches.
"""

import time
from pathlib import Path
from typing import Any

from tests.e2e.configs import ladder
from tests.e2e.stack import Stack, running

EXPLAIN = {"stepwell": {"explain": True}}
OPENING: list[Any] = [
    {"role": "system", "content": "You answer for a bank."},
    {"role": "user", "content": "Why is my transfer to Spain late?"},
]


def config(**changes: Any) -> dict[str, Any]:
    """The cheapest tier refuses everything."""
    found = ladder(**changes)
    found["tiers"][0]["backend"]["faults"] = {"refuse": 1.0}
    return found


def ask(stack: Stack, messages: list[Any]) -> dict[str, Any]:
    """The route of a request."""
    with stack.client() as client:
        answer = client.chat.completions.create(model="auto", messages=messages, extra_body=EXPLAIN)
    found: dict[str, Any] = (answer.model_extra or {})["stepwell"]
    return found


def stream(stack: Stack, messages: list[Any]) -> dict[str, Any]:
    """As `ask`, streamed."""
    with stack.client() as client:
        chunks = client.chat.completions.create(
            model="auto", messages=messages, stream=True, extra_body=EXPLAIN
        )
        *_, last = chunks
    found: dict[str, Any] = (last.model_extra or {})["stepwell"]
    return found


def later(*answers: str) -> list[Any]:
    """The conversation with these answers, and a question after each."""
    messages = list(OPENING)
    for answer in answers:
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": f"And after {answer!r}?"})
    return messages


def tiers(route: dict[str, Any]) -> list[str]:
    return [attempt["tier"] for attempt in route["attempts"]]


def note(route: dict[str, Any]) -> tuple[str, str] | None:
    found = [d for d in route["decisions"] if d["stage"] == "conversation"]
    return (found[0]["decision"], found[0]["reason"]) if found else None


def written(stack: Stack, route: dict[str, Any]) -> None:
    """Waits until the ledger has all that the route tells."""
    until = time.monotonic() + 10
    query = "SELECT id FROM attempts WHERE request_id = ? AND outcome != 'intent'"
    while len(stack.rows(query, route["request_id"], wait=0.02)) < len(route["attempts"]):
        assert time.monotonic() < until


def test_each_turn_starts_where_the_last_one_was_served(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        first = ask(stack, OPENING)
        second = stream(stack, later("one"))
        third = ask(stack, later("one", "two"))
        other = ask(stack, [{"role": "user", "content": "Something else"}])
    assert (tiers(first), note(first)) == (["small", "large"], None)
    assert tiers(second) == ["large"]
    decision, reason = note(second) or ("", "")
    assert decision == "switch: small -> large"
    assert reason.startswith("the last turn did not pass at small; ")
    assert tiers(third) == ["large"]
    assert (note(third) or ("",))[0] == "stay: large"
    assert tiers(other) == ["small", "large"], "another conversation knows nothing of it"


def test_two_gateways_share_what_they_know_through_the_ledger(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with running(config(), folders[0]) as one:
        url = f"sqlite:///{one.database}"
        with running(config(), folders[1], url=url) as two:
            first = ask(one, OPENING)
            written(one, first)
            second = ask(two, later("one"))
            written(one, second)
            third = stream(one, later("one", "two"))
    assert tiers(first) == ["small", "large"]
    assert tiers(second) == ["large"]
    assert (note(second) or ("",))[0] == "switch: small -> large"
    assert (note(third) or ("",))[0] == "stay: large"


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        ask(stack, OPENING)
    with running(config(), tmp_path) as stack:
        assert tiers(ask(stack, later("one"))) == ["large"]


def test_conversations_can_be_switched_off(tmp_path: Path) -> None:
    with running(config(conversations={"enabled": False}), tmp_path) as stack:
        first, second = ask(stack, OPENING), ask(stack, later("one"))
        rows = stack.attempts(first["request_id"])
    assert tiers(first) == tiers(second) == ["small", "large"]
    assert note(second) is None
    assert {row["conversation"] for row in rows} == {None}


def test_the_ledger_holds_a_digest_and_no_words(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        route = ask(stack, OPENING)
        digests = {row["conversation"] for row in stack.attempts(route["request_id"])}
    [digest] = digests
    assert len(digest) == 32
    assert int(digest, 16) > 0
