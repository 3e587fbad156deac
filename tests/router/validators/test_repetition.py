"""Loops in answers."""

import random

import pytest

from router.validators.base import Validators
from router.validators.repetition import TAIL_CHARS, repeated_share
from tests.router.validators.asking import spec, verdict

PROSE = (
    "A stepwell is a tiered well: you go down only as many steps as the water is low. In a dry "
    "year the stairs are long, and in a wet one the water meets you halfway. People sat there in "
    "the heat, drew water, and told each other what had happened in the villages around."
)
NO_SPACES = "阶梯井是一种分层的井人们只需走到水面那么低旱年台阶很长雨年水在半路迎接你" * 2


@pytest.mark.parametrize(
    "text",
    [
        "I think so. " * 30,
        "very " * 50,
        "a" * 500,
        "哈" * 300,
        "答案是四。" * 60,
        "abcdefg" * 60,
        PROSE + " and so on" * 60,
    ],
)
def test_a_loop_fails(text: str) -> None:
    found = verdict(spec("no_repetition"), text)
    assert not found.passed
    assert "repeat an earlier one" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "no, no, no",
        "card_arrival",
        "",
        "".join(random.Random(1).choices("ACGT", k=2_000)),
        "".join(random.Random(2).choices("0123456789", k=1_000)),
        "https://example.test/" + "".join(random.Random(3).choices("abcdef", k=300)),
        NO_SPACES,
        "\n".join(f'{{"id": {i}, "name": "user {i}"}},' for i in range(40)),
    ],
)
def test_text_that_says_something_passes(text: str) -> None:
    assert verdict(spec("no_repetition"), text).passed


def test_the_share_is_that_of_repeated_ngrams() -> None:
    words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
    assert repeated_share(" ".join(words), 1) == 0
    assert repeated_share(" ".join(words * 2), 1) == 0.5
    assert repeated_share(" ".join(words * 2), 2) == pytest.approx(9 / 19)
    assert verdict(spec("no_repetition", ngram=1, max_share=0.5), " ".join(words * 2)).passed


def test_a_run_without_spaces_weighs_as_much_as_it_is() -> None:
    half = " ".join(f"w{i}" for i in range(100))
    run = "x" * len(half.replace(" ", ""))
    assert repeated_share(f"{half} {run}", 4) == pytest.approx(0.5, abs=0.05)


def test_the_end_of_a_long_answer_is_what_counts() -> None:
    words = " ".join(f"word{i}" for i in range(20_000))
    assert repeated_share(words + " again" * TAIL_CHARS, 4) > 0.9


def test_a_beginning_decides_nothing() -> None:
    assert Validators.compile([spec("no_repetition")]).check_prefix("very " * 50).passed
