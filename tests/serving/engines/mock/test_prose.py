import pytest
from rapidfuzz.fuzz import token_sort_ratio

from serving.engines.mock.draws import Draws
from serving.engines.mock.prose import true_text, wrong_text
from serving.engines.mock.reading import read
from tests.serving.engines.helpers import ask

REQUESTS = [
    "I still have not received my new card, I ordered over a week ago.",
    "Can I use my card abroad?",
    "How many eggs are left of 12 when 5 are eaten?",
    "Classify as positive, negative or neutral: I loved it",
    "Hello",
    "Write a Python function that sorts invoices by date",
    "Write a SQL query for open invoices",
    "Write a bash script that renames pictures",
    "Write a javascript function for totals",
    "2+2?\nA. 3\nB. 4",
    "What's the time in one word?",
    "🎈",
    "",
]


@pytest.mark.parametrize("text", REQUESTS)
def test_wrong_answers_have_the_form_but_not_the_content_of_the_true_one(text: str) -> None:
    reading = read(ask(text))
    truth = true_text(reading, Draws(b"truth"))
    assert truth.strip()
    assert truth == true_text(reading, Draws(b"truth"))
    for i in range(30):
        wrong = wrong_text(reading, truth, Draws(bytes([i])))
        assert wrong.strip()
        assert wrong != truth
        if reading.form == "option":
            assert wrong in reading.options


def test_answers_are_made_of_the_requests_words() -> None:
    text = true_text(read(ask(REQUESTS[0])), Draws(b"k"))
    assert any(word in text for word in ("card", "received", "ordered", "week"))
    assert 2 <= text.count(".") <= 5


def test_a_similarity_check_tells_wrong_paragraphs_from_true_ones() -> None:
    reading = read(ask(REQUESTS[0]))
    ratios = []
    for i in range(200):
        truth = true_text(reading, Draws(bytes([i, 0])))
        ratios.append(token_sort_ratio(truth, wrong_text(reading, truth, Draws(bytes([i, 1])))))
    assert sum(r >= 80 for r in ratios) / len(ratios) < 0.02


def test_as_many_words_as_were_asked_for() -> None:
    for asked in (100, 700):
        words = len(
            true_text(read(ask(f"An essay of {asked} words on rivers")), Draws(b"k")).split()
        )
        assert asked <= words < asked + 30


def test_polar_questions_are_answered_with_yes_or_no() -> None:
    reading = read(ask("Can I use my card abroad?"))
    assert true_text(reading, Draws(b"k")).split(".")[0] in {"Yes", "No"}
