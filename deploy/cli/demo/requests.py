"""The demo's traffic: a shop's mixed requests, original texts filled in by a seeded generator.

The kinds are told apart by the config's task classes from what a request looks like, not by tags:
so the demo runs on any config. Repeats are meant: people ask the same things.
"""

import random
from collections.abc import Callable
from typing import Any

from deploy.cli.demo import texts
from serving.engines.mock.known import GREETINGS, HELP_DESK, THANKS

Body = dict[str, Any]

SEED = 20
LONG_CHARS = 24_000  # past 4,000 tokens by any tokenizer
STREAMED_SHARE = 0.3
GREETING_SHARE = 0.25
THANKS_SHARE = 0.15

ORDER_SCHEMA: Body = {
    "type": "object",
    "properties": {
        "customer": {"type": "string"},
        "city": {"type": "string"},
        "article": {"type": "string"},
        "quantity": {"type": "integer"},
        "express": {"type": "boolean"},
    },
    "required": ["customer", "city", "article", "quantity", "express"],
    "additionalProperties": False,
}

STOCK_TOOL: Body = {
    "type": "function",
    "function": {
        "name": "check_stock",
        "description": "How many pieces of an article a branch has",
        "parameters": {
            "type": "object",
            "properties": {
                "article": {"type": "string"},
                "city": {"type": "string"},
                "only_new": {"type": "boolean"},
            },
            "required": ["article", "city", "only_new"],
            "additionalProperties": False,
        },
    },
}


def demo_requests(count: int = 300, seed: int = SEED) -> list[Body]:
    """`count` chat bodies in a mixed order; the same for the same arguments."""
    rng = random.Random(seed)  # noqa: S311  repeatable traffic, nothing secret
    kinds: dict[Callable[[random.Random], Body], int] = {
        _faq: 40,
        _triage: 13,
        _order: 13,
        _maths: 10,
        _general: 8,
        _code: 6,
        _stock: 5,
        _critical: 3,
        _document: 1,
    }
    makers = rng.choices(list(kinds), weights=list(kinds.values()), k=count)
    # Every kind shows up, however small the count.
    for place, maker in zip(rng.sample(range(count), min(count, len(kinds))), kinds, strict=False):
        makers[place] = maker
    return [_one(maker, rng) for maker in makers]


def _one(maker: Callable[[random.Random], Body], rng: random.Random) -> Body:
    body = maker(rng)
    if rng.random() < STREAMED_SHARE:
        body["stream"] = True
    return body


def _chat(feature: str, text: str, system: str | None = None, **more: Any) -> Body:
    messages = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages, "metadata": {"feature": feature}, **more}


def _faq(rng: random.Random) -> Body:
    """Few questions make up most of the traffic (weights 1, 1/2, 1/3, …), each in several ways."""
    weights = [1 / rank for rank in range(1, len(HELP_DESK) + 1)]
    (ways,) = rng.choices(HELP_DESK, weights=weights)
    return _chat("help-desk", _politely(rng.choice(ways), rng), texts.HELP_DESK)


def _politely(question: str, rng: random.Random) -> str:
    """As some people ask, with a greeting before it or thanks behind it."""
    manners = rng.random()
    if manners < GREETING_SHARE:
        return rng.choice(GREETINGS) + question[0].lower() + question[1:]
    if manners < GREETING_SHARE + THANKS_SHARE:
        return question + rng.choice(THANKS)
    return question


def _triage(rng: random.Random) -> Body:
    message, _ = rng.choice(texts.TRIAGE)
    labels = ", ".join(sorted({label for _, label in texts.TRIAGE}))
    text = f"Classify this message into one of these categories: {labels}.\n\n{message}"
    short = {"kind": "length", "max_words": 30}
    return _chat("triage", text, stepwell={"validators": [short]})


def _order(rng: random.Random) -> Body:
    name = f"{rng.choice(texts.FIRST_NAMES)} {rng.choice(texts.LAST_NAMES)}"
    express = rng.choice(("as soon as you can, express is fine", "no hurry"))
    text = (
        f"Extract the order as JSON from this note: {name} from {rng.choice(texts.CITIES)} wants "
        f"{rng.randint(1, 6)} x {rng.choice(texts.GOODS)}, {express}."
    )
    schema = {"name": "order", "strict": True, "schema": ORDER_SCHEMA}
    format_ = {"type": "json_schema", "json_schema": schema}
    return _chat("order-entry", text, response_format=format_)


def _maths(rng: random.Random) -> Body:
    price, pieces, percent = rng.randint(12, 240), rng.randint(2, 30), rng.choice((5, 10, 15, 20))
    text = rng.choice(
        (
            f"Calculate the total of {pieces} pieces at {price} each with {percent} percent off.",
            f"Three branches sold {pieces}, {price} and {percent} tents. What is the average?",
            f"A {price} jacket costs {percent} percent more from May on. Calculate the new price.",
        )
    )
    return _chat("back-office", text)


def _general(rng: random.Random) -> Body:
    return _chat("advice", rng.choice(texts.GENERAL))


def _code(rng: random.Random) -> Body:
    return _chat("developers", rng.choice(texts.CODE))


def _stock(rng: random.Random) -> Body:
    text = f"How many of the {rng.choice(texts.GOODS)} are left in {rng.choice(texts.CITIES)}?"
    return _chat("stock", text, tools=[STOCK_TOOL])


def _critical(rng: random.Random) -> Body:
    return _chat("legal", rng.choice(texts.CRITICAL))


def _document(rng: random.Random) -> Body:
    lines: list[str] = []
    size = number = 0
    while size < LONG_CHARS:
        number += 1
        lines.append(
            rng.choice(texts.HANDBOOK).format(
                n=number,
                goods=rng.choice(texts.GOODS),
                city=rng.choice(texts.CITIES),
                weeks=rng.randint(1, 9),
                price=f"{rng.randint(5, 400)} EUR",
            )
        )
        size += len(lines[-1]) + 1
    ask = "Summarise this handbook for a new colleague in 80 words."
    return _chat("training", f"{ask}\n\n" + "\n".join(lines))
