"""Compiled validators as a whole."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.validators.base import Failure, Validators, Verdict
from serving.wire.completion import Choice
from tests.router.validators.asking import ask, spec, tool, verdict

EARLY = (
    spec("no_refusal"),
    spec("json", object=True),
    spec("words", forbidden=["secret", "C++", "ß", "naïve"]),
    spec("regex", pattern=r"\bfoo|a.*b", negate=True),
    spec("length", max_chars=30, max_words=6),
)
WORDY = ("se", "cret", "C+", "+", "foo", "a", "b", "ß", "naï", "ve", "1", "無理", "我无法", "提供")
PIECES = ("I can't ", "help", " with that", "Sorry", ", ", ". ", *'{}`"\n ', "\ud800", *WORDY)


def test_nothing_to_check_passes() -> None:
    empty = Validators.compile([])
    assert empty.check(ask(), Choice()) == Verdict(passed=True)
    assert not empty.needs_whole


def test_every_failure_is_named() -> None:
    found = verdict(Validators.compile([spec("json"), spec("length", min_chars=9)]), "nope")
    assert not found.passed
    assert found.failures == (
        Failure("json", "not one JSON value (line 1, column 1)"),
        Failure("length", "4 characters, at least 9 are required"),
    )
    assert found.reason == (
        "json: not one JSON value (line 1, column 1); length: 4 characters, at least 9 are required"
    )


@pytest.mark.parametrize(
    ("kind", "fields", "whole"),
    [
        ("not_empty", {}, False),
        ("not_truncated", {}, False),
        ("no_refusal", {}, False),
        ("no_repetition", {}, False),
        ("json", {}, True),
        ("json_schema", {"schema": {}}, True),
        ("tool_arguments", {}, True),
        ("regex", {"pattern": "a"}, True),
        ("length", {"max_chars": 9}, True),
        ("words", {"forbidden": ["a"]}, True),
    ],
)
def test_some_checks_hold_a_stream(kind: str, fields: dict[str, Any], whole: bool) -> None:
    assert Validators.compile([spec(kind, **fields)]).needs_whole is whole
    named = verdict(spec(kind, **fields), "", finish="length")
    assert {failure.kind for failure in named.failures} <= {kind}


def test_no_call_is_expected_where_tool_choice_is_none() -> None:
    request = ask(tools=[tool("f")], tool_choice="none")
    assert not Validators.compile([spec("tool_arguments")], request).needs_whole


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.integers(0, 60))
def test_what_fails_early_fails_in_the_end(pieces: list[str], cut: int) -> None:
    text = "".join(pieces)
    for one in EARLY:
        validators = Validators.compile([one])
        if not validators.check_prefix(text[:cut]).passed:
            assert not verdict(validators, text).passed


@given(st.text(max_size=400), st.sampled_from(EARLY), st.integers(0, 400))
def test_any_text_fails_early_only_if_it_fails_in_the_end(text: str, one: Any, cut: int) -> None:
    validators = Validators.compile([one])
    if not validators.check_prefix(text[:cut]).passed:
        assert not verdict(validators, text).passed


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", set()),
        ("  ", set()),
        ('{"a"', set()),
        ("Sure! {", {"json"}),
        ("```json\n{", {"json"}),
        ("I can't help", {"json"}),
        ("I can't help with", {"json"}),
        ("I can't help with that", {"json", "no_refusal"}),
        ("I can't help with that.", {"json", "no_refusal"}),
        ("{a secret", set()),
        ("{a secret ", {"words"}),
        ("{a secretary", set()),
        ("{ foo", set()),
        ("{ foo ", {"regex"}),
        ("{1 2 3 4 5 6 7", {"length"}),
    ],
)
def test_a_beginning_fails_only_where_nothing_can_save_it(text: str, kinds: set[str]) -> None:
    found = Validators.compile(EARLY).check_prefix(text)
    assert {failure.kind for failure in found.failures} == kinds
