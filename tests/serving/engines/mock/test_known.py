"""Questions that the mock knows to be the same."""

import itertools

import pytest

from serving.engines.mock.known import GREETINGS, HELP_DESK, THANKS, as_known
from serving.engines.mock.plan import plan
from serving.settings.tiers import MockEngine
from serving.wire.chat import ChatRequest

ENGINE = MockEngine(engine="mock", ability=9.0)


def asked(text: str, *earlier: str) -> ChatRequest:
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": said} for i, said in enumerate(earlier)]
    return ChatRequest.model_validate(
        {"model": "auto", "messages": [*turns, {"role": "user", "content": text}]}
    )


def answer(text: str, *earlier: str) -> str | None:
    return plan(asked(text, *earlier), "t", ENGINE, None).choices[0].answer.content


def test_each_group_has_one_answer_and_no_two_the_same() -> None:
    answers = [{answer(way) for way in ways} for ways in HELP_DESK]
    assert all(len(found) == 1 for found in answers)
    assert len(set(itertools.chain.from_iterable(answers))) == len(HELP_DESK)


def test_no_question_stands_in_two_groups() -> None:
    ways = [way for group in HELP_DESK for way in group]
    assert len(ways) == len(set(ways))


@pytest.mark.parametrize("greeting", ["", *GREETINGS])
@pytest.mark.parametrize("thanks", ["", *THANKS])
def test_manners_change_nothing(greeting: str, thanks: str) -> None:
    question = HELP_DESK[0][1]
    said = greeting + question[0].lower() + question[1:] + thanks
    assert answer(said) == answer(HELP_DESK[0][0])


def test_what_is_not_known_stays_as_it_is() -> None:
    for request in (
        asked("How do I reset my router?"),
        asked(HELP_DESK[0][1], "Hello", "Hi, what is it?"),
        asked(HELP_DESK[0][0]),
    ):
        assert as_known(request) is request
