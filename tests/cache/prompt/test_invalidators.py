"""Each kind of volatile bytes is found where it stands, within twenty requests."""

import json
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cache.prompt.helpers import chat, rules, system, tool
from tests.cache.prompt.traffic import Traffic

START = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
WITHIN = 20


def prompt(line: str) -> str:
    """A system prompt that holds one line that may change, and the offset of its value."""
    return f"{rules(10)}\n{line}\n{rules(30)}"


def clock_line(step: timedelta, form: str) -> Callable[[int], str]:
    return lambda i: (START + i * step).strftime(form)


def letters(i: int) -> str:
    return "".join(random.Random(f"x{i}").choices("abcdefghijklmnopqrstuvwxyz", k=10))


VALUES: dict[str, tuple[str, Callable[[int], str]]] = {
    "iso": ("timestamp", lambda i: (START + i * timedelta(seconds=7)).isoformat()),
    "ctime": ("timestamp", clock_line(timedelta(minutes=3), "%a %b %d %H:%M:%S %Y")),
    "words": ("timestamp", clock_line(timedelta(minutes=3), "%A, %B %d, %Y at %I:%M %p")),
    "mail": ("timestamp", clock_line(timedelta(minutes=3), "%a, %d %b %Y %H:%M:%S GMT")),
    "time": ("timestamp", clock_line(timedelta(minutes=3), "%H:%M")),
    "epoch": ("timestamp", lambda i: str(int(START.timestamp()) + 7 * i)),
    "millis": ("timestamp", lambda i: str(int(START.timestamp() * 1e3) + 7_123 * i)),
    "date": ("date", clock_line(timedelta(days=1), "%Y-%m-%d")),
    "us_date": ("date", clock_line(timedelta(days=1), "%m/%d/%Y")),
    "long_date": ("date", clock_line(timedelta(days=1), "%B %d, %Y")),
    "uuid": ("uuid", lambda i: str(uuid.UUID(int=random.Random(i).getrandbits(128), version=4))),
    "hex": ("random_id", lambda i: f"{random.Random(i).getrandbits(64):016x}"),
    "id": ("random_id", lambda i: f"req_{random.Random(i).getrandbits(48):012x}"),
    "base62": ("random_id", lambda i: letters(i)[:4].title() + letters(i + 99)[:5].title()),
    "letters": ("random_id", letters),
    "number": ("random_id", lambda i: str(random.Random(i).randrange(10_000, 99_999))),
    "counter": ("counter", lambda i: str(1_040 + i)),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_changes_in_the_system_prompt(name: str) -> None:
    kind, value = VALUES[name]
    traffic = Traffic()
    for i in range(30):
        assert traffic.send(chat(system(prompt("Case: none")), f"Question {i}?")) == []
    for i in range(WITHIN):
        text = prompt(f"Case: {value(i)} of today")
        found = traffic.send(chat(system(text), f"Question {i}?"))
        if found:
            break
    assert [(f.kind, f.path, f.repaired) for f in found] == [(kind, "system[0]", False)]
    assert found[0].offset == text.index(value(i))
    assert text[found[0].offset :][: found[0].length] == value(i)
    assert found[0].changes <= found[0].seen <= WITHIN


def test_a_value_that_changes_in_a_later_text_of_the_system_prompt() -> None:
    traffic = Traffic()
    for i in range(WITHIN):
        parts = [{"type": "text", "text": rules()}, {"type": "text", "text": f"é Now: 10:{i:02}"}]
        found = traffic.send(chat(system(parts), "Why?"))
    assert [(f.kind, f.path, f.offset, f.length) for f in found] == [
        ("timestamp", "system[1]", 7, 5)
    ]


def test_several_values_at_once() -> None:
    traffic = Traffic()
    for i in range(WITHIN):
        text = f"Request {100 + i}\n{rules()}\nNow: {START + i * timedelta(seconds=3)}"
        found = traffic.send(chat(system(text), "Why?"))
    assert [f.kind for f in found] == ["counter", "timestamp"]


def test_a_tool_s_description_and_schema() -> None:
    traffic = Traffic()
    for i in range(WITHIN):
        schema = {"type": "object", "properties": {"q": {"type": "string", "default": f"k{i:04}"}}}
        tools = [
            tool("find", description=f"Finds things. Index of {START + i * timedelta(hours=1)}."),
            tool("add", parameters=schema),
        ]
        found = traffic.send(chat(system(rules()), "Why?", tools=tools))
    assert [(f.kind, f.path, f.offset) for f in found] == [
        ("timestamp", "tools[0].function.description", 23),
        ("random_id", "tools[1].function.parameters", 31),
    ]


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        keys = rng.sample(list(value), len(value))
        return {key: shuffled(value[key], rng) for key in keys}
    return value


RECORD = {"name": "Basic account", "fee": "none", "limit": 500, "cards": {"debit": 1, "credit": 0}}


NUMBERED = {f"item_{i}": {"price": 10 * i, "stock": i % 3} for i in range(6)}


@pytest.mark.parametrize("record", [RECORD, NUMBERED])
@pytest.mark.parametrize("indents", [[None], [None, 1, 2]])
def test_unsorted_json_in_the_system_prompt(
    record: dict[str, Any], indents: list[int | None]
) -> None:
    traffic, rng = Traffic(), random.Random(3)
    steady = prompt(json.dumps(record))
    for _ in range(30):
        assert traffic.send(chat(system(steady), "Why?")) == []
    for _ in range(WITHIN):
        text = prompt(json.dumps(shuffled(record, rng), indent=rng.choice(indents)))
        found = traffic.send(chat(system(text), "Why?"))
        if found:
            break
    assert [(f.kind, f.path, f.repaired) for f in found] == [("unsorted_json", "system[0]", False)]
    assert 0 <= found[0].offset - text.index("{") < len(json.dumps(record))


def test_unsorted_json_in_a_tool_is_repaired() -> None:
    traffic, rng = Traffic(), random.Random(3)
    schema = {
        "type": "object",
        "description": "A search.",
        "properties": {"q": {"type": "string", "description": "Words."}},
        "required": ["q"],
    }
    for _ in range(WITHIN):
        tools = [tool("add"), tool("find", parameters=shuffled(schema, rng))]
        found = traffic.send(chat(system(rules()), "Why?", tools=tools))
        if found:
            break
    assert [(f.kind, f.path) for f in found] == [("unsorted_json", "tools[1].function.parameters")]
    assert found[0].repaired


def test_reordered_tools_are_repaired() -> None:
    traffic, rng = Traffic(), random.Random(5)
    names = ["find", "add", "list", "drop"]
    for _ in range(30):
        request = chat(system(rules()), "Why?", tools=[tool(n) for n in names])
        assert traffic.send(request) == []
    before = names
    for _ in range(WITHIN):
        now = rng.sample(names, len(names))
        found = traffic.send(chat(system(rules()), "Why?", tools=[tool(n) for n in now]))
        if found:
            break
        before = now
    first = next(i for i, n in enumerate(now) if n != before[i])
    assert [(f.kind, f.path, f.repaired) for f in found] == [
        ("reordered_tools", f"tools[{first}]", True)
    ]


def test_lines_in_another_order() -> None:
    traffic, rng = Traffic(), random.Random(2)
    lines = [f"Rule {word}: answer politely." for word in ("alpha", "beta", "gamma", "delta")]
    for _ in range(WITHIN):
        text = prompt("\n".join(rng.sample(lines, len(lines))))
        found = traffic.send(chat(system(text), "Why?"))
        if found:
            break
    assert [f.kind for f in found] == ["reordered_text"]


def test_a_turn_that_is_rewritten_with_the_time() -> None:
    """A client that puts the time in front of the first question, anew with each turn."""
    traffic = Traffic()
    talk: list[dict[str, Any]] = []
    for i in range(6):
        first = f"[{START + i * timedelta(seconds=40)}] How do I open an account?"
        question = first if i == 0 else f"And then, part {letters(i)}?"
        talk += [{"role": "user", "content": question}]
        talk[0] = {"role": "user", "content": first}
        found = traffic.send(chat(system(rules()), *talk))
        if found:
            break
        talk += [{"role": "assistant", "content": f"Go to a branch, {letters(50 + i)}."}]
    assert [(f.kind, f.path, f.offset) for f in found] == [("timestamp", "messages[1]", 1)]


def test_a_document_in_front_of_the_question() -> None:
    """The same document for all, but for the time of its printing."""
    traffic = Traffic()
    for i in range(WITHIN):
        document = f"Printed {START + i * timedelta(minutes=1)}\n{rules()}"
        parts = [{"type": "text", "text": document}, {"type": "text", "text": f"Line {i}?"}]
        found = traffic.send(chat(system("Answer."), {"role": "user", "content": parts}))
    assert [(f.kind, f.path) for f in found] == [("timestamp", "messages[1].content[0]")]


def test_another_tenant_and_another_feature_know_nothing_of_it() -> None:
    traffic = Traffic()
    for i in range(WITHIN):
        request = chat(system(prompt(f"Now: 10:{i:02}")), "Why?")
        assert bool(traffic.send(request)) == (i >= 4)
    for tenant, feature in (("globex", "support"), ("acme", "sales")):
        traffic.tenant, traffic.feature = tenant, feature
        assert traffic.send(chat(system(prompt("Now: 11:00")), "Why?")) == []
