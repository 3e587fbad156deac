"""Emptiness, truncation, length and words."""

import time
from typing import Any

import pytest

from router.validators.answer import MAX_CHARS
from router.validators.text import MAX_INSIDE
from tests.router.validators.asking import ask, spec, tool, tool_call, verdict


@pytest.mark.parametrize("text", [None, "", "  \n\t", "\u200b \ufeff", "\u00a0"])
def test_an_answer_without_visible_text_is_empty(text: str | None) -> None:
    assert verdict(spec("not_empty"), text).reason == "not_empty: no visible text and no tool call"


def test_text_or_a_tool_call_is_something() -> None:
    assert verdict(spec("not_empty"), " x ").passed
    assert verdict(spec("not_empty"), None, tool_calls=(tool_call("f"),)).passed


@pytest.mark.parametrize(
    ("asked", "ours", "passed"),
    [
        ({}, None, False),
        ({}, 100, False),
        ({"max_tokens": 50}, None, True),  # the client's own limit
        ({"max_tokens": 50}, 100, True),
        ({"max_tokens": 100}, 100, True),
        ({"max_tokens": 200}, 100, False),  # ours was lower
        ({"max_completion_tokens": 50}, 100, True),
    ],
)
def test_truncation_fails_unless_the_client_asked_for_it(
    asked: dict[str, Any], ours: int | None, passed: bool
) -> None:
    found = verdict(
        spec("not_truncated"), "cut o", ask(**asked), finish="length", tier_max_tokens=ours
    )
    assert found.passed is passed


def test_truncation_names_the_limit() -> None:
    found = verdict(spec("not_truncated"), "cut o", finish="length", tier_max_tokens=7)
    assert found.reason == "not_truncated: cut at the tier's limit of 7 tokens"
    assert verdict(spec("not_truncated"), "whole", tier_max_tokens=7).passed


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({"min_chars": 4}, "abc", "3 characters, at least 4 are required"),
        ({"max_chars": 2}, "abc", "more than 2 characters"),
        ({"min_words": 3}, "a  b", "2 words, at least 3 are required"),
        ({"max_words": 1}, "a b", "more than 1 words"),
        ({"min_chars": 3, "max_chars": 3, "min_words": 1, "max_words": 1}, "abc", None),
    ],
)
def test_length_is_bounded(fields: dict[str, Any], text: str, reason: str | None) -> None:
    found = verdict(spec("length", **fields), text)
    assert found.reason == ("" if reason is None else f"length: {reason}")


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("refund", "Your REFUND is here", True),
        ("refund", "refund", True),
        ("refund", "refunds", False),
        ("refund", "non-refund!", True),
        ("refund", "pre_refund", False),
        ("C++", "use C++, please", True),
        ("C++", "use C++11", True),
        ("C++", "MSC++", False),
        ("naïve", "a naïve try", True),
        ("naïve", "a naïveté", False),
        ("été", "en été.", True),
        ("été", "étés", False),
        ("हिन्दी", "मैं हिन्दी बोलता", True),
        ("new york", "in New York now", True),
        (".*", "anything", False),
        (".*", "a.*b", True),
    ],
)
def test_words_stand_on_word_borders(word: str, text: str, found: bool) -> None:
    assert verdict(spec("words", required=[word]), text).passed is found
    assert verdict(spec("words", forbidden=[word]), text).passed is not found


def test_the_word_at_fault_is_named() -> None:
    both = spec("words", required=["Total", "sum"], forbidden=["Secret", "N.B."])
    assert verdict(both, "the sum").reason == "words: the required word 'total' is missing"
    assert verdict(both, "total sum SECRET").reason == "words: the forbidden word 'secret' occurs"
    assert (
        verdict(both, "total, sum: n.b. this").reason == "words: the forbidden word 'n.b.' occurs"
    )
    assert verdict(both, "total sum").passed


def test_overlapping_words_are_all_found() -> None:
    assert verdict(
        spec("words", required=["new york", "york", "york city"]), "New York City"
    ).passed


def test_a_word_inside_others_too_often_is_not_looked_for_on() -> None:
    """So that no answer takes for ever; a forbidden word then counts as found."""
    inside = "start " * MAX_INSIDE
    assert verdict(spec("words", required=["art"]), inside[:600] + "art").passed
    assert not verdict(spec("words", required=["art"]), inside + "art").passed
    assert not verdict(spec("words", forbidden=["art"]), inside).passed


def test_many_long_words_on_a_long_answer_take_their_time_and_no_more() -> None:
    """A naive search would try 200 characters at each of a million places."""
    words = ["a" * 190 + f"{i:09}" for i in range(100)]
    started = time.perf_counter()
    assert verdict(spec("words", forbidden=words), "a" * MAX_CHARS).passed
    assert not verdict(spec("words", required=["a" * 200] * 100), "a" * MAX_CHARS).passed
    assert time.perf_counter() - started < 3
    assert not verdict(spec("words", forbidden=words), "a" * (MAX_CHARS + 1)).passed


def test_the_form_of_the_text_is_not_judged_in_a_turn_that_calls_a_tool() -> None:
    request = ask(tools=[tool("f")])
    specs = (spec("length", min_chars=99), spec("words", required=["x"]))
    for one in (*specs, spec("json"), spec("json_schema", schema={}), spec("regex", pattern="x")):
        assert verdict(one, None, request, tool_calls=(tool_call("f"),)).passed
        assert not verdict(one, None, ask(), tool_calls=(tool_call("f"),)).passed
        assert not verdict(one, None, request).passed
