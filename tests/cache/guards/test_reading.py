"""One text, read: what counts as a number, a code, a name, a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.guards.lexicon import lexicon
from cache.guards.marks import codes
from cache.guards.reading import MAX_CHARACTERS, read
from cache.guards.stem import stem


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1,000 dollars", "$1000"),
        ("two thousand and", "2000 and"),
        ("twenty five people", "25 people"),
        ("5mg", "5 mg"),
        ("0.50", "0.5"),
        ("one hundred", "100"),
    ],
)
def test_two_spellings_of_a_number_are_one(a: str, b: str) -> None:
    assert read(a).numbers == read(b).numbers != frozenset()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("no one knows", set()),
        ("7:30 or 8:30", {"7:30", "8:30"}),
        ("Python 3.11", {"3.11"}),
        ("order 00123", {"123"}),
        ("9" * 60, {"9" * 60}),
        ("2FA and B12", set()),
    ],
)
def test_what_is_a_number(text: str, numbers: set[str]) -> None:
    assert read(text).numbers == numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("what does `git push` do", {"git push"}),
        ('translate "good morning"', {"good morning"}),
        ("order #A-1234x, please", {"#a-1234x"}),
        ("call get_user and getUsers", {"get_user", "getusers"}),
        ("rm -rf or rm -r", {"-rf", "-r"}),
        ("is 2+2 the same as 2 - 2", {"2+2", "2-2"}),
        ("why === and not ==", {"===", "=="}),
        ("the 1st of 5kg at 9am", set()),
        ("don't and can't", set()),
        ("enable 2FA", set()),
        ("10.0.0.1", {"10.0.0.1"}),
    ],
)
def test_what_is_a_code(text: str, found: set[str]) -> None:
    assert found <= set(codes(text, lexicon()))
    assert bool(found) == bool(read(text).codes)


def test_capitalised_words_inside_a_sentence_are_names() -> None:
    assert read("Who is Marie Curie? Where did she live?").names == {stem("marie"), stem("curie")}
    assert read("WHERE IS MY CARD").names == frozenset()


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Why did it fail?", "why"),
        ("How come it failed?", "why"),
        ("How do I do it", "how"),
        ("how many are there", "many"),
        ("how much is it", "much"),
        ("At what time does it open", "when"),
        ("Is it open?", "yes"),
        ("open the door", None),
        ("Could you tell me where it is", "yes"),
    ],
)
def test_what_is_asked_for(text: str, asks: str | None) -> None:
    assert read(text).asks == asks


def test_contractions_negate() -> None:
    assert read("it doesn't work").negations == read("it does not work").negations == 1
    assert read("it doesn\u2019t work").concepts == read("it does not work").concepts
    assert read("I can't").negations == read("I cannot").negations == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("turn on 2FA", "enable two-factor authentication"),
        ("colour", "color"),
        ("deleting files", "delete file"),
        ("my children", "my child"),
        ("organise", "organize"),
        ("sign in", "login"),
    ],
)
def test_names_of_one_thing_are_one(a: str, b: str) -> None:
    assert read(a).concepts == read(b).concepts


def test_case_spaces_and_end_marks_are_no_difference() -> None:
    assert read("Where is  it?").exact == read("where is it").exact
    assert read("rm -r").exact != read("rm -rf").exact


def test_long_texts_are_told_apart_beyond_what_is_read() -> None:
    long = "word " * MAX_CHARACTERS
    assert not read(long).whole
    assert read(long + "a").exact != read(long + "b").exact


@given(st.text(max_size=300))
def test_every_text_can_be_read(text: str) -> None:
    found = read(text)
    assert found == read(text)
    assert len(found.concepts) == len(found.tokens)
