"""POST /v1/chat/completions."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from serving.api.answers import answers
from serving.api.calls import FLEX, call_for
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange
from serving.api.figures import trace_wire
from serving.api.prompt_log import PromptLog
from serving.api.streaming import EventStream
from serving.api.validation import parse_as
from serving.backend import Call
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from serving.wire.render import render_completion
from serving.wire.sse import ChatEvents

Endpoint = Callable[[Request], Awaitable[Response]]


def chat_endpoint(desk: Desk) -> Endpoint:
    async def chat(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        body = await desk.admit(request, exchange)
        asked = parse_as(ChatRequest, body)
        exchange.stream, exchange.explain = bool(asked.stream), asked.options.explain
        desk.seat(exchange, asked.service_tier)
        checked, call = call_for(asked, exchange, desk.settings)
        exchange.traces = (call.trace,)
        log = PromptLog(desk.settings.log, exchange.request_id)
        log.asked([checked])
        if asked.stream:
            stream = desk.service.backend.stream(checked, call)
            events = _events(asked, call, exchange)
            return EventStream([(call, stream)], events, exchange, desk.settings, log)
        (completion,) = await answers(desk.service.backend, [(checked, call)], request.receive)
        log.answered([completion])
        return json_response(chat_body(completion, asked, exchange))

    return chat


def wants_usage(asked: ChatRequest) -> bool:
    """Whether a stream ends with the usage: where the client asks, as OpenAI has it, and where it
    speaks to Stepwell, whose figures are not known before.
    """
    options = asked.stream_options
    return asked.stepwell is not None or bool(options and options.include_usage)


def _events(asked: ChatRequest, call: Call, exchange: Exchange) -> ChatEvents:
    return ChatEvents(
        f"chatcmpl-{exchange.answer_id}",
        lambda chunk: call.trace.tier or chunk.model,
        top_logprobs=(asked.top_logprobs or 0) if asked.logprobs else None,
        usage=wants_usage(asked),
        service_tier=FLEX if asked.service_tier == FLEX else None,
    )


def chat_body(completion: Completion, asked: ChatRequest, exchange: Exchange) -> dict[str, object]:
    """The answer's JSON; the exchange's figures are settled with it."""
    figures = exchange.settle()
    body = render_completion(
        completion,
        answer_id=f"chatcmpl-{exchange.answer_id}",
        model=figures.tier or completion.model,
        top_logprobs=(asked.top_logprobs or 0) if asked.logprobs else None,
        stepwell=figures.wire(),
    )
    if asked.service_tier == FLEX:
        body["service_tier"] = FLEX
    if exchange.explain:
        body["stepwell"] = trace_wire(exchange.request_id, exchange.traces)
    return body
