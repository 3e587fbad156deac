"""POST /v1/responses."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.api.answers import answers
from serving.api.calls import call_for
from serving.api.chat import Endpoint
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange
from serving.api.limits import parse_object
from serving.api.line_forms import line_request
from serving.api.prompt_log import PromptLog
from serving.api.response_body import (
    chat_of,
    head_of,
    in_its_own_words,
    parse_response,
    response_body,
)
from serving.api.response_keep import Keeper
from serving.api.response_stream import ResponseStream
from serving.batch.enqueue import Background
from serving.batch.values import RESPONSES, utc_now
from serving.errors import InvalidRequest
from serving.settings.root import Settings
from serving.storage.responses import ResponseStore
from serving.wire.render import dumps
from serving.wire.responses.deadline import deadline_of
from serving.wire.responses.items import stored
from serving.wire.responses.render import Head
from serving.wire.responses.request import ResponseRequest

Items = list[dict[str, Any]]
OF_THE_RESPONSE = ("background", "previous_response_id", "store", "stream", "stream_options")
"""Parameters that the line of a response in the background has no use for."""


def create_endpoint(desk: Desk, store: ResponseStore, background: Background | None) -> Endpoint:
    async def create(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        body = await desk.admit(request, exchange)
        settings = desk.settings
        asked = parse_response(body, settings.limits)
        exchange.stream, exchange.explain = bool(asked.stream), asked.options.explain
        assert exchange.caller is not None
        keeper = Keeper(store, settings.responses, exchange.caller)
        history = await _history(asked, keeper, settings)
        head = head_of(asked, exchange, store=asked.kept)
        with in_its_own_words():
            chat = chat_of(asked, settings.limits, history)
            checked, call = call_for(chat, exchange, settings)
            if asked.background:
                return await _queued(head, keeper, background, settings, body=body, history=history)
            desk.seat(exchange, asked.service_tier)
            exchange.traces = (call.trace,)
            log = PromptLog(settings.log, exchange.request_id)
            log.asked([checked])
            backend = desk.service.backend
            if asked.stream:
                job = call, backend.stream(checked, call)
                return ResponseStream(
                    head, keeper, job, exchange=exchange, settings=settings, log=log
                )
            (completion,) = await answers(backend, [(checked, call)], request.receive)
        log.answered([completion])
        answer = response_body(completion, head, exchange)
        return json_response(await keeper.keep(head, answer))

    return create


async def _history(asked: ResponseRequest, keeper: Keeper, settings: Settings) -> Items:
    if asked.previous_response_id is None:
        return []
    most = settings.limits.max_body_bytes
    tenant, previous = keeper.caller.tenant, asked.previous_response_id
    return await keeper.store.history(tenant, previous, utc_now(), most_bytes=most)


async def _queued(
    head: Head,
    keeper: Keeper,
    background: Background | None,
    settings: Settings,
    *,
    body: Mapping[str, Any],
    history: Items,
) -> Response:
    _check_background(head.asked, background)
    assert background is not None
    deadline = deadline_of(head.asked.metadata, utc_now())
    wanted = {name: value for name, value in body.items() if name not in OF_THE_RESPONSE}
    if history:
        wanted["input"] = [*history, *stored(head.asked.input, head.id.removeprefix("resp_"))]
    fields = {"custom_id": head.id, "method": "POST", "url": RESPONSES, "body": wanted}
    line = dumps(fields)
    parse_object(line, settings.limits)  # what it grew by may be too much
    line_request(wanted, RESPONSES, settings.limits)  # so that no worker refuses it later
    queued = head.body("queued")
    await background.submit(keeper.described(head, queued), line, deadline)
    return json_response(queued)


def _check_background(asked: ResponseRequest, background: Background | None) -> None:
    if background is None:
        why = "responses in the background need `batch: {enabled: true}` in the configuration"
    elif asked.stream:
        why = "a response in the background is not streamed; retrieve it"
    elif not asked.kept:
        why = "a response in the background needs `store: true`"
    else:
        return
    message = f"Invalid value for 'background': {why}."
    raise InvalidRequest(message, param="background", code="unsupported_parameter")
