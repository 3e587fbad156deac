import time

import pytest

from serving.engines.mock.reading import keywords_of, read, words_of
from tests.serving.engines.helpers import ask


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Write a Python function that adds two numbers", "code"),
        ("Give me a SQL query for all open invoices", "code"),
        ("How many apples are left of 12 when 5 are eaten?", "number"),
        ("What is 12 * 7?", "number"),
        ("Can I use my card abroad?", "polar"),
        ("Hello", "short"),
        ("", "short"),
        ("Summarise it in one word please, whatever comes to your mind", "short"),
        ("I still have not received my new card", "prose"),
    ],
)
def test_forms(text: str, form: str) -> None:
    assert read(ask(text)).form == form


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (
            "Classify as positive, negative or neutral: I loved it",
            ("positive", "negative", "neutral"),
        ),
        ("Which of these? Answer with one of: red | green | blue.", ("red", "green", "blue")),
        ("Labels: 'card lost', 'card stolen'. Choose: it was taken", ("card lost", "card stolen")),
        ("2 + 2?\nA. 3\nB. 4\nC. 5\nAnswer:", ("A", "B", "C")),
        ("Capital of France? (A) Paris (B) Rome", ("A", "B")),
        ("Is it open? Answer yes or no.", ("Yes", "No")),
        ("The sky is green: true or false?", ("True", "False")),
        ("Should I fly on Monday or Friday, and why?", ()),
        ("B. is not the first letter, A. neither", ()),
    ],
)
def test_options(text: str, options: tuple[str, ...]) -> None:
    reading = read(ask(text))
    assert reading.options == options
    assert (reading.form == "option") is bool(options)


def test_options_may_stand_in_the_system_prompt() -> None:
    messages = [
        {"role": "system", "content": "Classify the message into: refund, card, other."},
        {"role": "user", "content": "I never got my money back"},
    ]
    assert read(ask(messages=messages)).options == ("refund", "card", "other")


def test_json_is_wanted_where_the_user_says_so_or_the_system_orders_it() -> None:
    assert read(ask("Give me the city as JSON")).wants_json
    order = "x" * 10_000 + " Answer with one JSON object and nothing else."
    user = {"role": "user", "content": "city?"}
    assert read(ask(messages=[{"role": "system", "content": order}, user])).wants_json
    mention = {"role": "system", "content": "Our JSON API is at /v1."}
    assert not read(ask(messages=[mention, user])).wants_json


def test_keywords_are_the_telling_words_in_order() -> None:
    assert keywords_of(words_of("Where is the Card's delivery? The card, please")) == (
        "card's",
        "delivery",
        "card",
    )


def test_features_of_maths_code_and_length() -> None:
    reading = read(ask("Solve 3 * x = 12 for x in at most 120 words"))
    assert reading.maths
    assert reading.numbers == 3
    assert reading.words_asked == 120
    assert read(ask("what does `print()` do in ```print()```")).code
    assert read(ask("9999 words please")).words_asked == 2_000


def test_only_the_last_user_message_is_read() -> None:
    messages = [
        {"role": "user", "content": "Write a python function"},
        {"role": "assistant", "content": "def f(): ..."},
        {"role": "user", "content": "Thanks a lot for all of that"},
    ]
    assert read(ask(messages=messages)).form == "prose"


@pytest.mark.parametrize(
    "text",
    [
        "write " * 100_000,
        "one of " * 100_000,
        "SELECT " * 100_000,
        "into:" + " ," * 200_000,
        "A. " * 200_000,
        "yes " * 200_000,
        "1*" * 200_000,
        " " * 1_000_000,
    ],
)
def test_hostile_texts_are_read_in_bounded_time(text: str) -> None:
    began = time.perf_counter()
    read(ask(text))
    assert time.perf_counter() - began < 0.5
