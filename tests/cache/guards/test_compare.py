"""What two texts differ in."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.guards.compare import NAMES, Differences, compare
from cache.guards.reading import MAX_CHARACTERS, read


def differences(a: str, b: str) -> Differences:
    found = compare(read(a), read(b))
    assert found == compare(read(b), read(a))
    return found


@pytest.mark.parametrize(
    ("feature", "a", "b"),
    [
        ("numbers", "refund order 1234", "refund order 1235"),
        ("only_number", "refund my order", "refund 2 of my orders"),
        ("kinds", "open on Monday", "open on Friday"),
        ("kinds", "5 kg of rice", "5 pounds of rice"),
        ("kinds", "sort a list in Python", "sort a list in Rust"),
        ("opposites", "enable 2FA", "disable 2FA"),
        ("opposites", "is aspirin safe", "is aspirin unsafe"),
        ("opposites", "turn it up", "turn it down"),
        ("opposites", "hyperthermia signs", "hypothermia signs"),
        ("opposites", "before lunch", "after lunch"),
        ("negation", "is it allowed", "is it not allowed"),
        ("reversal", "delete my account", "undo delete my account"),
        ("tense", "when will it arrive", "when did it arrive"),
        ("names", "where does Anna live", "where does Pedro live"),
        ("only_name", "where does she live", "where does Pedro live"),
        ("codes", "call `get_user`", "call `get_users`"),
        ("only_code", "call it", "call `get_users`"),
        ("asks", "why did it fail", "when did it fail"),
        ("ways", "how do I pay", "can I pay"),
        ("roles", "flights from Oslo to Rome", "flights from Rome to Oslo"),
        ("roles", "can a dog outrun a cat", "can a cat outrun a dog"),
        ("exchanged", "buy a lamp", "buy a sofa"),
        ("added", "buy a lamp", "buy a lamp shade"),
    ],
)
def test_a_difference_is_seen(feature: str, a: str, b: str) -> None:
    assert getattr(differences(a, b), feature) > 0


@pytest.mark.parametrize(
    ("feature", "a", "b"),
    [
        ("numbers", "transfer $1,000", "transfer 1000 dollars"),
        ("kinds", "open on Monday", "open on Mondays"),
        ("kinds", "a flight to Rome", "a flight to Rome on Monday"),
        ("opposites", "it is not right", "it is wrong"),
        ("negation", "it is not right", "it is wrong"),
        ("codes", "enable 2FA", "turn on two-factor authentication"),
        ("roles", "flights from Oslo to Rome", "to Rome from Oslo, flights"),
        ("roles", "a dog and a cat", "a cat and a dog"),
        ("asks", "what is the price", "how much is it"),
        ("exchanged", "turn on the lamp", "switch the lamp on, enable"),
    ],
)
def test_what_is_none_is_not_seen(feature: str, a: str, b: str) -> None:
    assert getattr(differences(a, b), feature) == 0


@given(st.text(max_size=200), st.text(max_size=200))
def test_it_is_symmetric_and_bounded(a: str, b: str) -> None:
    found = differences(a, b)
    assert all(0 <= getattr(found, name) <= 2 for name in NAMES)


@given(st.text(max_size=200))
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    found = differences(text, text)
    assert (found.shared, found.frame) == (1, 1)
    assert all(getattr(found, name) == 0 for name in NAMES if name not in ("shared", "frame"))


def test_long_texts_take_no_longer_than_they_may() -> None:
    a = read(" ".join(f"w{chr(97 + n % 26)}{n}x" for n in range(MAX_CHARACTERS // 8)))
    b = read(" ".join(f"w{chr(97 + n % 26)}{n}y" for n in range(MAX_CHARACTERS // 8)))
    began = time.perf_counter()
    compare(a, b)
    assert time.perf_counter() - began < 0.5
