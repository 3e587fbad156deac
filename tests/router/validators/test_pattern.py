"""Patterns through RE2."""

import time

import pytest

from router.validators.base import Validators
from router.validators.pattern import pattern_size
from serving.errors import InvalidRequest
from tests.router.validators.asking import spec, verdict


@pytest.mark.parametrize(
    ("pattern", "mode", "negate", "text", "passed"),
    [
        ("b+", "search", False, "abbc", True),
        ("b+", "full", False, "abbc", False),
        ("b+", "full", False, "bb", True),
        ("b+", "search", True, "abbc", False),
        ("b+", "search", True, "ac", True),
        ("b+", "full", True, "abbc", True),
        (r"^\pL+$", "search", False, "größer", True),
        ("(?i)ok", "search", False, "OK", True),
        ("a", "search", False, "\ud800a", True),
        ("^$", "full", False, "", True),
    ],
)
def test_a_pattern_is_found_or_spans_the_answer(
    pattern: str, mode: str, negate: bool, text: str, passed: bool
) -> None:
    found = verdict(spec("regex", pattern=pattern, mode=mode, negate=negate), text)
    assert found.passed is passed


@pytest.mark.parametrize(
    "pattern",
    ["(", "(?=a)b", r"(a)\1", "((a{1000}){1000}){1000}", "a{1001}", "(?:.{1000}){100}"],
)
def test_a_wrong_or_unbounded_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidRequest, match="regex: the pattern is not"):
        Validators.compile([spec("regex", pattern=pattern)])


def test_a_catastrophic_pattern_is_linear() -> None:
    started = time.perf_counter()
    assert not verdict(spec("regex", pattern="^(a+)+$"), "a" * 200_000 + "b").passed
    assert time.perf_counter() - started < 1


def test_a_large_pattern_on_a_long_answer_is_not_tried() -> None:
    started = time.perf_counter()
    large = spec("regex", pattern="(a|b)*a(a|b){900}c")
    assert "too long" in verdict(large, "ab" * 100_000).reason
    assert time.perf_counter() - started < 0.1
    assert verdict(large, "a" * 1_000 + "c").passed


def test_the_size_of_a_pattern_counts_places_and_not_bytes() -> None:
    many = pattern_size(r"\p{L}{1,40}")
    assert many is not None
    assert 40 <= many < 1_000
    assert pattern_size("(?=a)") is None


def test_a_forbidden_pattern_shows_early() -> None:
    validators = Validators.compile([spec("regex", pattern="bad$|worse", negate=True)])
    assert validators.check_prefix("bad").passed  # may become "badly"
    assert validators.check_prefix("worse").passed  # nothing may follow, but who knows
    assert not validators.check_prefix("worse ").passed
    demanded = Validators.compile([spec("regex", pattern="x")])
    assert demanded.check_prefix("y").passed
