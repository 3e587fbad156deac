"""From the body of a response's request to the chat that is asked, and from its answer back."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from serving.api.exchange import Exchange
from serving.api.figures import trace_wire
from serving.api.limits import above_limit
from serving.api.validation import parse_as
from serving.errors import InvalidRequest
from serving.settings.root import LimitSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from serving.wire.responses.items import Item
from serving.wire.responses.output import output_items
from serving.wire.responses.render import Head, ended, response_usage
from serving.wire.responses.request import CHAT_ONLY, ResponseRequest
from serving.wire.responses.to_chat import as_chat


def parse_response(body: Mapping[str, Any], limits: LimitSettings) -> ResponseRequest:
    """`InvalidRequest` names what is at fault."""
    given = body.get("input")
    if isinstance(given, list) and len(given) > limits.max_messages:
        raise above_limit("input", len(given), limits.max_messages)
    return parse_as(ResponseRequest, body)


def chat_of(
    asked: ResponseRequest, limits: LimitSettings, history: Sequence[Mapping[str, Any]] = ()
) -> ChatRequest:
    """`history`: items of the responses before."""
    body = as_chat(asked, [Item.model_validate(item) for item in history])
    if not body["messages"]:
        message = "Invalid value for 'input': nothing in it can be answered."
        raise InvalidRequest(message, param="input", code="invalid_value")
    if len(body["messages"]) > limits.max_messages:
        raise above_limit("input", len(body["messages"]), limits.max_messages)
    return parse_as(ChatRequest, body)


def head_of(asked: ResponseRequest, exchange: Exchange, *, store: bool) -> Head:
    """Of the response to this request, which begins now."""
    id_ = f"resp_{exchange.answer_id}"
    return Head(id_, int(time.time()), asked, store, background=bool(asked.background))


def response_body(completion: Completion, head: Head, exchange: Exchange) -> dict[str, Any]:
    """The answer's JSON; the exchange's figures are settled with it."""
    figures = exchange.settle()
    most = head.asked.logprobs_asked
    items = output_items(completion.first, exchange.answer_id, top_logprobs=most)
    known = ended(completion.first, items.values(), at=int(time.time()))
    known["model"] = figures.tier or completion.model
    known["usage"] = response_usage(completion.usage, figures.wire())
    if exchange.explain:
        known["stepwell"] = trace_wire(exchange.request_id, exchange.traces)
    return head.body(**known)


@contextmanager
def in_its_own_words() -> Iterator[None]:
    """Errors that name a chat's parameter name the response's."""
    try:
        yield
    except InvalidRequest as error:
        chat, _, rest = (error.param or "").partition(".")
        if chat not in CHAT_ONLY:
            raise
        own = ".".join(part for part in (CHAT_ONLY[chat], rest) if part)
        message = error.message.replace(f"'{error.param}'", f"'{own}'")
        raise InvalidRequest(message, param=own, code=error.code) from None
