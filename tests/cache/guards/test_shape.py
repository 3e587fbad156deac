"""How two texts are built alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.guards.reading import read
from cache.guards.shape import Shape, shape


def of(a: str, b: str) -> Shape:
    found = shape(read(a), read(b))
    assert found == shape(read(b), read(a))
    return found


def test_two_fillings_of_one_sentence_have_one_mould() -> None:
    found = of("How do I buy a lamp?", "How do I buy a sofa?")
    assert found.mould == 1
    assert (found.loose_less, found.loose_more) == (1, 1)
    assert found.content < 1


def test_another_sentence_about_the_same_has_another_mould() -> None:
    assert of("How do I buy a lamp?", "the way to buy a lamp").mould < 1


def test_the_same_content_in_another_order_is_turned() -> None:
    assert of("can a dog outrun a cat", "can a cat outrun a dog").turned > 0
    assert of("can a dog outrun a cat", "could the dog outrun the cat").turned == 0


def test_a_word_that_is_misspelled_is_near() -> None:
    assert of("a receipt for lunch", "a reciept for lunch").near > 0.7
    assert of("a receipt for lunch", "a sofa for lunch").near < 0.5


@given(st.text(max_size=200), st.text(max_size=200))
def test_shares_stay_shares(a: str, b: str) -> None:
    found = of(a, b)
    for share in (found.mould, found.content, found.turned, found.near):
        assert 0 <= share <= 1
    assert 0 <= found.loose_less <= found.loose_more


@pytest.mark.parametrize("text", ["", "refund order 1234", "to be or not to be"])
def test_a_text_is_built_like_itself(text: str) -> None:
    assert of(text, text) == Shape(1, 1, 0, 0, 0, 0)
