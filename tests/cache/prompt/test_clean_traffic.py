"""Clean traffic raises no alarm."""

import gzip
import json
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.wire.chat import ChatRequest
from tests.cache.prompt.helpers import chat, rules, system, tool
from tests.cache.prompt.traffic import Traffic

START = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
NAMES = [
    "Alice",
    "Roberto",
    "Charlotte",
    "Giovanni",
    "Elizabeth",
    "Oliver",
    "Nathaniel",
    "Beatrice",
]


def per_user(i: int) -> ChatRequest:
    """A prompt of the user's own: it comes back as often as the user does."""
    user = random.Random(i * 31).randrange(40)
    name, since = NAMES[user % 8], START - timedelta(days=37 * user)
    facts = f"You help {name} {user}, a customer since {since:%Y-%m-%d}, number {user * 7_919}."
    return chat(system(f"{facts}\n{rules()}"), f"Question {i}?")


def per_name(i: int) -> ChatRequest:
    return chat(system(f"You help {NAMES[i % 8]}.\n{rules()}"), f"Question {i}?")


def documents(i: int) -> ChatRequest:
    rng = random.Random(i)
    words = ["loan", "rate", "fee", "card", "limit", "branch", "2026", "12", "transfer", "500"]
    text = " ".join(rng.choice(words) for _ in range(800))
    parts = [{"type": "text", "text": text}, {"type": "text", "text": "Sum it up."}]
    return chat(system(rules()), {"role": "user", "content": parts})


def invoices(i: int) -> ChatRequest:
    """One form, other data: numbers everywhere."""
    rng = random.Random(i)
    lines = "\n".join(f"Item {k}: {rng.randrange(1, 99)} pieces" for k in range(30))
    text = f"Invoice {9_000 + i} of {START + timedelta(days=i):%Y-%m-%d}\n{lines}\n{rules()}"
    parts = [{"type": "text", "text": text}, {"type": "text", "text": "Is it right?"}]
    return chat(system(rules()), {"role": "user", "content": parts})


def two_versions(i: int) -> ChatRequest:
    version = random.Random(i).choice(["v2026.10.1", "v2026.11.2"])
    return chat(system(f"Prompt {version}\n{rules()}"), f"Question {i}?")


def growing_tools(i: int) -> ChatRequest:
    tools = [tool(f"tool_{k}") for k in range(3 + i % 4)]
    return chat(system(rules()), f"Question {i}?", tools=tools)


@pytest.mark.parametrize(
    "request_of", [per_user, per_name, documents, invoices, two_versions, growing_tools]
)
def test_what_belongs_to_a_user_or_changes_wholly_is_no_alarm(
    request_of: Callable[[int], ChatRequest],
) -> None:
    traffic = Traffic()
    assert [f for i in range(300) for f in traffic.send(request_of(i))] == []


def questions() -> list[str]:
    folder = os.environ.get("STEPWELL_TEST_DATA")
    if not folder:
        pytest.skip("STEPWELL_TEST_DATA is not set")
    with gzip.open(Path(folder) / "banking77_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def clean(texts: list[str]) -> Iterator[ChatRequest]:
    """Half of them single questions, half conversations of up to six turns, twelve at a time."""
    tools = [tool("find"), tool("add")]
    half = len(texts) // 2
    talks: list[list[dict[str, Any]]] = [[] for _ in range(12)]
    for i, text in enumerate(texts):
        if i < half:
            yield chat(system(rules()), text)
            continue
        k = i % 12
        if len(talks[k]) >= 11:
            talks[k] = []
        if talks[k]:
            talks[k].append({"role": "assistant", "content": f"As you say: {texts[i - half]}"})
        talks[k].append({"role": "user", "content": text})
        yield chat(system(rules()), *talks[k], tools=tools)


def test_ten_thousand_clean_requests_raise_no_alarm() -> None:
    texts = questions()[:10_000]
    assert len(texts) == 10_000
    traffic = Traffic()
    assert [f for request in clean(texts) for f in traffic.send(request)] == []
