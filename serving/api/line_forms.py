"""The bodies of batch lines, by the endpoint that they are for."""

from collections.abc import Mapping
from typing import Any

from serving.api.chat import chat_body
from serving.api.exchange import Exchange
from serving.api.limits import check_counts
from serving.api.response_body import chat_of, head_of, in_its_own_words, parse_response
from serving.api.response_body import response_body as rendered
from serving.api.validation import parse_as
from serving.batch.values import RESPONSES
from serving.errors import InvalidRequest
from serving.settings.root import LimitSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

NOT_IN_LINES = ("store", "background", "previous_response_id")
"""What a response in a batch cannot have: its answer stands in the batch's files, and only there.
Without `store` it is not stored.
"""


def line_request(body: Mapping[str, Any], endpoint: str, limits: LimitSettings) -> ChatRequest:
    """The chat that a line asks for. `InvalidRequest` where it is at fault."""
    check_counts(body, limits)
    if endpoint != RESPONSES:
        return parse_as(ChatRequest, body)
    for name in NOT_IN_LINES:
        if body.get(name):
            message = f"Invalid value for 'body.{name}': a batch's responses can't have it."
            raise InvalidRequest(message, param=f"body.{name}", code="unsupported_parameter")
    with in_its_own_words():
        return chat_of(parse_response(body, limits), limits)


def line_body(
    body: Mapping[str, Any],
    completion: Completion,
    request: ChatRequest,
    exchange: Exchange,
    limits: LimitSettings,
) -> dict[str, Any]:
    """The answer to the line with this body. A service tier means nothing there: lines wait."""
    plain = {"service_tier": None}
    if exchange.endpoint != RESPONSES:
        return chat_body(completion, request.model_copy(update=plain), exchange)
    asked = parse_response(body, limits).model_copy(update=plain)
    head = head_of(asked, exchange, store=False)
    return rendered(completion, head, exchange)
