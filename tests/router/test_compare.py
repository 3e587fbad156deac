"""When two answers count as the same."""

from typing import Any

import pytest

from router.compare import Comparison, answer_text, compare
from router.validators.implied import for_request
from serving.wire.completion import Choice, FinishReason, ToolCallPart
from tests.router.fakes import make_request, make_task


def judged(cheap: Choice, reference: Choice, how: str = "exact", **task: Any) -> Comparison:
    of = make_task(spot_check={"share": 1, "compare": how}, **task)
    request = make_request()
    validators = for_request(request, of)
    return compare(cheap, reference, how=of.spot_check, validators=validators, request=request)


def agreed(cheap: str, reference: str, how: str = "exact", **task: Any) -> bool | None:
    return judged(Choice(content=cheap), Choice(content=reference), how, **task).agreed


def calling(name: str, arguments: str) -> Choice:
    part = ToolCallPart(0, "c1", name, arguments)
    return Choice(tool_calls=(part,), finish_reason="tool_calls")


@pytest.mark.parametrize(
    ("cheap", "reference", "same"),
    [
        ("Card  arrival\n", "card arrival", True),
        ("card arrival", "card delivery", False),
        ('{"a": 1, "b": [2]}', '{ "b":[2.0], "a":1 }', True),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": "New York"}', '{"a": "new  york"}', True),
        ("[1, 2]", "[2, 1]", False),
        ("[1]", "[1, 2]", False),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ("7", "7.0", True),
        ("[" * 2_000 + "]" * 2_000, "[" * 2_000 + "]" * 2_000, True),
    ],
)
def test_exact_compares_json_as_values_and_text_without_case_and_spacing(
    cheap: str, reference: str, same: bool
) -> None:
    assert agreed(cheap, reference) is same


def test_tool_calls_are_compared_by_name_and_arguments() -> None:
    assert judged(calling("f", '{"x":1}'), calling("f", '{ "x": 1 }')).agreed
    assert judged(calling("f", "{}"), calling("g", "{}")).agreed is False
    assert judged(calling("f", "{}"), Choice(content="{}")).agreed is False
    assert judged(calling("f", "{}"), calling("g", "{}"), "similarity").agreed is False


def test_similarity_forgives_order_and_punctuation_up_to_a_point() -> None:
    assert agreed("The capital is Paris.", "Paris is the capital", "similarity")
    assert agreed("The capital is Paris.", "I would say Lyon", "similarity") is False


def test_validator_agrees_when_both_or_neither_pass() -> None:
    digits: dict[str, Any] = {"validators": [{"kind": "regex", "pattern": "[0-9]"}]}
    assert agreed("1", "2", "validator", **digits)
    assert agreed("one", "two", "validator", **digits)
    assert agreed("1", "two", "validator", **digits) is False


@pytest.mark.parametrize(("text", "finish"), [("", "stop"), ("half an ans", "length")])
def test_a_reference_that_fails_itself_settles_nothing(text: str, finish: FinishReason) -> None:
    found = judged(Choice(content="fine"), Choice(content=text, finish_reason=finish))
    assert found.agreed is None
    assert found.word == "unclear"


def test_the_text_of_an_answer_shows_its_tool_calls() -> None:
    choice = Choice(content="Looking.", tool_calls=(ToolCallPart(0, "c1", "f", '{"x": 1}'),))
    assert answer_text(choice) == 'Looking.\n{"name": "f", "arguments": "{\\"x\\": 1}"}'
