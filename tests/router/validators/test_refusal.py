"""What is a refusal and what only sounds like one."""

import pytest

from router.validators.base import Validators
from router.validators.refusal import refuses
from serving.wire.completion import Choice, FinishReason
from tests.router.validators.asking import ask, spec, verdict

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I can\u2019t assist with that request.",
    "I'm sorry, I can't help.",
    "I'm sorry I can't help with that",
    "I can't help",
    "I cannot provide medical advice.",
    "Unfortunately, I'm unable to assist with this.",
    "As an AI language model, I cannot write that.",
    "I apologize, but I can't fulfill this request.",
    "I'm afraid I can't do that, Dave.",
    "I understand you're frustrated, but I can't help with that.",
    "I won't be able to help you with this.",
    "Sorry, but that's not something I can help with.",
    "I must respectfully decline.",
    "I don't feel comfortable answering.",
    "**I'm sorry**, but I cannot comply.",
    "Hello! I'm sorry, but I can't assist with that.",
    "I'm not able to provide legal advice.",
    "SORRY, I CANNOT GENERATE SUCH CONTENT.",
    "  \n I can't help you with that.",
    "I can't share that information. " + "But this is long. " * 40,
    "Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.",
    "Tut mir leid, das kann ich nicht beantworten.",
    "Leider kann ich diese Anfrage nicht beantworten.",
    "Je suis désolé, mais je ne peux pas vous aider avec cela.",
    "Désolé, je ne peux pas répondre à cette question.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Mi dispiace, ma non posso aiutarti con questa richiesta.",
    "Desculpe, mas não posso ajudar com isso.",
    "Het spijt me, maar ik kan je daar niet mee helpen.",
    "很抱歉\uff0c我无法提供这方面的帮助。",
    "抱歉我不能回答这个问题。",
    "申し訳ありませんが、その質問にはお答えできません。",
)
ANSWERS = (
    "I can't wait to see you!",
    "I cannot recommend this book enough.",
    "I can't help but notice the irony.",
    "I can't believe it's not butter.",
    "I cannot stress enough how important it is.",
    "I can't write home every week, she said.",
    "I'm sorry for the delay. Your refund is on its way.",
    "I'm sorry to hear that. Here is how to fix it.",
    "I'm not able to find order 17, could you check the number?",
    "Unfortunately, the flight is cancelled.",
    "I'm afraid of spiders.",
    "Sorry! The store closes at 8.",
    "Sorry",
    "I won't give up.",
    "The function cannot help with that.",
    "Here's the code. I can't help with the rest.",
    "Yes, I can help with that.",
    "Thank you for asking! The answer is 4.",
    "I understand. Let me help with that.",
    "Cannot be undone.",
    "card_arrival",
    '{"refusal": "no"}',
    "Ich kann es kaum erwarten.",
    "Er kann dir dabei nicht helfen.",
    "Je ne peux pas attendre de te voir.",
    "Lo siento mucho por tu pérdida. Aquí tienes los pasos.",
    "No puedo creerlo.",
    "很抱歉给您带来不便\uff0c您的退款已处理。",
    "",
    " . , ! ",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_recognised(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not refuses(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_no_beginning_of_an_answer_is_taken_for_a_refusal(text: str) -> None:
    assert not any(refuses(text[:i], ended=False) for i in range(len(text)))


@pytest.mark.parametrize("text", [text for text in REFUSALS if len(text) > 30])
def test_a_stream_shows_its_refusal_early(text: str) -> None:
    assert any(refuses(text[:i], ended=False) for i in range(min(len(text), 100) + 1))


@pytest.mark.parametrize("text", ["I can't", "I can't help", "I'm sorry", "Sorry, I can"])
def test_what_may_still_go_well_is_awaited(text: str) -> None:
    assert Validators.compile([spec("no_refusal")]).check_prefix(text).passed


def test_only_the_opening_counts() -> None:
    assert not refuses("The capital is Paris. " + "I can't help with that. ")
    assert not refuses("Sure thing, " + "x" * 300 + ". I can't help with that.")


@pytest.mark.parametrize(
    ("finish", "refusal", "reason"),
    [
        ("content_filter", None, "no_refusal: finish reason 'content_filter'"),
        ("stop", "No.", "no_refusal: the refusal field is set"),
        ("stop", "", ""),
    ],
)
def test_the_tier_may_say_that_it_refuses(
    finish: FinishReason, refusal: str | None, reason: str
) -> None:
    choice = Choice(content="fine", finish_reason=finish, refusal=refusal)
    assert Validators.compile([spec("no_refusal")]).check(ask(), choice).reason == reason


def test_the_reason_quotes_nothing() -> None:
    assert verdict(spec("no_refusal"), REFUSALS[0]).reason == "no_refusal: opens with a refusal"
