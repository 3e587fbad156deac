"""Whether a stored answer says what a fresh one says."""

from typing import Any

import pytest

pytest.importorskip("numpy", reason="these tests need the extra `cache`")

from cache.semantic.agree import Agreement, data
from cache.semantic.answer import Answer, dump, load
from deploy.semantic import compare_answers
from serving.wire.completion import Choice, Completion, ToolCallPart, Usage
from tests.cache.semantic.world import WordEmbedder, task


def said(*choices: Choice) -> Answer:
    whole = Completion("c", 1, "m", choices, Usage(1, 1))
    return Answer(whole, "big", "m", True, ("seed",), "att_1")


def text(content: str) -> Answer:
    return said(Choice(content=content))


def call(arguments: str) -> Answer:
    part = ToolCallPart(0, "c1", "f", arguments)
    return said(Choice(tool_calls=(part,), finish_reason="tool_calls"))


CASES: list[tuple[str, Answer, Answer, bool | None]] = [
    ("exact", text("By card."), text("by  card."), True),
    ("exact", text("By card."), text("Card, please."), False),
    ("exact", text('{"a": 1, "b": 2}'), text('{"b": 2, "a": 1}'), True),
    ("structured", text('{"a": 1}'), text('{"a": 2}'), False),
    ("structured", text("By card."), text("By card."), None),
    ("structured", call('{"x": 1}'), call('{ "x": 1 }'), True),
    ("structured", call('{"x": 1}'), call('{"x": 2}'), False),
    ("similarity", text("You may pay by card."), text("By card you may pay"), True),
    ("similarity", text("You may pay by card."), text("We are closed."), False),
    ("similarity", text('{"a": 10}'), text('{"a": 11}'), False),
    ("embedding", text("You may pay by card."), text("You can please may pay by card."), True),
    ("embedding", text("You may pay by card."), text("Closed on every other Sunday."), False),
    ("embedding", text("It takes 3 days."), text("It takes 5 days."), False),
    ("embedding", text('{"a": 1}'), text('{"a": 2}'), False),
    ("embedding", call('{"x": 1}'), call('{"x": 1}'), True),
    ("exact", said(Choice(content="a"), Choice(1, "b")), text("a"), None),
]


@pytest.mark.parametrize(("how", "stored", "fresh", "right"), CASES)
async def test_by_each_comparison(
    how: str, stored: Answer, fresh: Answer, right: bool | None
) -> None:
    agreement = Agreement(compare_answers, WordEmbedder())
    assert await agreement.right(stored, fresh, task(compare=how)) is right


@pytest.mark.parametrize(
    ("content", "structured"),
    [("{}", True), ("[1]", True), ("{broken", False), ("12", False), ("", False)],
)
def test_what_counts_as_data(content: str, structured: bool) -> None:
    assert data(Choice(content=content)) is structured


def test_an_answer_reads_back_as_it_was() -> None:
    provider: dict[str, Any] = {"provider": "anthropic", "content": [{"type": "thinking"}]}
    rich = said(Choice(content="ü", reasoning="r", provider_content=provider))
    for answer in (rich, call('{"x": "é"}'), text("")):
        assert load(dump(answer)) == answer
    with pytest.raises(ValueError, match="not an answer"):
        load(b"{}")
    with pytest.raises(ValueError, match="no JSON form"):
        dump(text("\ud800"))
