"""Questions that the mock knows to be the same: each group asks a shop's help desk one thing in
several ways, and gets one true answer. So a cache that answers rephrasings can be right or wrong
here, as with a model that understands what it is asked. Greetings and thanks change nothing.
"""

import unicodedata
from functools import lru_cache

from serving.wire.chat import ChatRequest

HELP_DESK: tuple[tuple[str, ...], ...] = (
    (
        "How do I reset my password?",
        "How can I reset my password?",
        "I forgot my password, how can I set a new one?",
        "What is the way to change a lost password?",
        "How do I reset a forgotten password?",
    ),
    (
        "Where is my order?",
        "Where is my order now?",
        "My parcel has not arrived yet, where is it?",
        "Can you tell me where my order is?",
        "Where is my parcel?",
    ),
    (
        "How do I return a pair of boots?",
        "How can I return a pair of boots?",
        "The boots don't fit, how can I send them back?",
        "What do I have to do to return boots?",
    ),
    (
        "Can I change the delivery address of my order?",
        "How do I change the delivery address of my order?",
        "I moved house, is it possible to update where my order goes?",
        "Is it possible to change the delivery address of my order?",
    ),
    (
        "Do you ship to Norway?",
        "Do you deliver to Norway?",
        "Is delivery to Norway possible?",
        "Can you ship to Norway?",
    ),
    (
        "Do you ship to Sweden?",
        "Do you deliver to Sweden?",
        "Is delivery to Sweden possible?",
    ),
    (
        "How do I cancel my order?",
        "How can I cancel my order?",
        "I no longer want what I ordered, how do I stop it?",
        "What do I have to do to cancel my order?",
    ),
    (
        "Which payment methods do you take?",
        "Which payment methods do you accept?",
        "What payment methods are there?",
        "What ways to pay are there?",
    ),
    (
        "How long is the warranty on a tent?",
        "How long does the warranty on a tent last?",
        "For how long does a tent have a warranty?",
    ),
    (
        "How do I wash a down jacket?",
        "How can I wash a down jacket?",
        "What is the best way to clean a down jacket?",
        "How should a down jacket be washed?",
    ),
    (
        "Why was my card declined?",
        "Why has my card been declined?",
        "My card was declined, why?",
        "The shop refuses my card, why?",
    ),
    (
        "How do I delete my account?",
        "How can I delete my account?",
        "Please tell me how to close my account for good.",
    ),
    (
        "Do you repair bicycles?",
        "Can you repair bicycles?",
        "Can I bring my bicycle in for a repair?",
    ),
)


GREETINGS = ("Hello, ", "Hi, ", "Hi there, ", "Good morning, ", "Quick question: ")
THANKS = (" Thanks!", " Thank you.", " Thanks in advance.")


def as_known(request: ChatRequest) -> ChatRequest:
    """The request in the first words of its group, where it is one question that the mock knows;
    else as it is.
    """
    last = request.messages[-1]
    if last.role != "user" or any(m.role == "assistant" for m in request.messages):
        return request
    first = _first().get(_plain(last.text))
    if first is None or first == last.text:
        return request
    messages = [*request.messages[:-1], last.model_copy(update={"content": first})]
    return request.model_copy(update={"messages": messages})


@lru_cache(1)
def _first() -> dict[str, str]:
    return {_plain(way): ways[0] for ways in HELP_DESK for way in ways}


def _plain(text: str) -> str:
    """Without case, greeting, thanks, outer punctuation and width of its spaces."""
    plain = " ".join(unicodedata.normalize("NFKC", text[:200]).casefold().split())
    greeting = next((g for g in GREETINGS if plain.startswith(g.casefold())), "")
    thanks = next((t for t in THANKS if plain.endswith(t.casefold())), "")
    return plain.removeprefix(greeting.casefold()).removesuffix(thanks.casefold()).strip(" .?!")
