import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.mock.draws import Draws
from serving.engines.mock.pattern import MAX_CHARS, sample

PATTERNS = [
    r"^[A-Z]{2}-\d{4}$",
    r"^\+?[1-9]\d{1,14}$",
    r"^(foo|bar|b(a|z)+)\w*?$",
    r"[^a-z]+",
    r"^\S+@\S+\.\S+$",
    r"^(?:\d{4})-(0[1-9]|1[0-2])$",
    r"^(?P<year>\d{4})$",
    r"^(\([0-9]{3}\))?[0-9]{3}-[0-9]{4}$",
    r"^$",
    r"^[-\w.]{3,}$",
    r"a{2,3}b{2}c{0,1}",
    r"^\x41\u0042\t\\$",
    r"^[\]a]\D\W\s.$",
    r"^a$|^b$",
    "",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_samples_match(pattern: str) -> None:
    for i in range(40):
        found = sample(pattern, Draws(bytes([i])))
        assert found is not None
        assert re.search(pattern, found), (pattern, found)


def test_samples_vary_and_depend_on_the_key() -> None:
    found = [sample(r"^[a-z]{8}$", Draws(bytes([i]))) for i in range(10)]
    assert len(set(found)) == 10
    assert found[3] == sample(r"^[a-z]{8}$", Draws(bytes([3])))


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?=a)b",
        r"(?<!a)b",
        r"(a)\1",
        r"\p{L}",
        "(",
        "a)",
        "[",
        "[]",
        "*a",
        "a$b",
        "a{}",
        "a{,3}",
        "a" * 1_001,
    ],
)
def test_what_is_beyond_it_has_no_sample(pattern: str) -> None:
    assert sample(pattern, Draws(b"k")) is None


@given(st.text(alphabet="ab[]()|?*+{}0123456789,^$\\.-:dw", max_size=60))
def test_any_pattern_ends_and_samples_of_valid_ones_match(pattern: str) -> None:
    found = sample(pattern, Draws(b"k"))
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning):
        return
    if found is not None:
        assert compiled.search(found), (pattern, found)


@pytest.mark.parametrize(
    "pattern",
    [
        "(" * 500,
        "((((a{1000}){1000}){1000}){1000})",
        "((((){2000}){2000}){2000})",
        "[a-z]{1999}" * 90,
    ],
)
def test_hostile_patterns_are_bounded(pattern: str) -> None:
    began = time.perf_counter()
    found = sample(pattern, Draws(b"k"))
    assert found is None or len(found) <= MAX_CHARS
    assert time.perf_counter() - began < 1
