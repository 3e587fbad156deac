"""POST /v1/completions: text completions, each prompt answered as a chat."""

from starlette.requests import Request
from starlette.responses import Response

from serving.api.answers import Job, answers
from serving.api.calls import call_for
from serving.api.chat import Endpoint, wants_usage
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange
from serving.api.figures import trace_wire
from serving.api.limits import check_choices
from serving.api.prompt_log import PromptLog
from serving.api.streaming import EventStream
from serving.api.validation import parse_as
from serving.wire.chat import ChatRequest
from serving.wire.text_completion import (
    TextCompletionRequest,
    TextEvents,
    render_text_completion,
)


def completions_endpoint(desk: Desk) -> Endpoint:
    async def completions(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        asked = parse_as(TextCompletionRequest, await desk.admit(request, exchange))
        check_choices("prompt", len(asked.prompts) * asked.choices_asked, desk.settings.limits)
        chats = [parse_as(ChatRequest, body) for body in asked.as_chats()]
        exchange.stream, exchange.explain = bool(chats[0].stream), chats[0].options.explain
        desk.seat(exchange, chats[0].service_tier)
        jobs = [call_for(chat, exchange, desk.settings) for chat in chats]
        exchange.traces = tuple(call.trace for _, call in jobs)
        log = PromptLog(desk.settings.log, exchange.request_id)
        log.asked([chat for chat, _ in jobs])
        if exchange.stream:
            return _stream(desk, asked, jobs, exchange, log)
        completions = await answers(desk.service.backend, jobs, request.receive)
        log.answered(completions)
        figures = exchange.settle()
        body = render_text_completion(
            completions,
            asked,
            answer_id=f"cmpl-{exchange.answer_id}",
            model=figures.tier or completions[0].model,
            stepwell=figures.wire(),
        )
        if exchange.explain:
            body["stepwell"] = trace_wire(exchange.request_id, exchange.traces)
        return json_response(body)

    return completions


def _stream(
    desk: Desk, asked: TextCompletionRequest, jobs: list[Job], exchange: Exchange, log: PromptLog
) -> EventStream:
    traces = exchange.traces
    events = TextEvents(
        asked,
        f"cmpl-{exchange.answer_id}",
        lambda chunk: next((t.tier for t in traces if t.tier), chunk.model),
        usage=wants_usage(jobs[0][0]),
    )
    streams = [(call, desk.service.backend.stream(chat, call)) for chat, call in jobs]
    return EventStream(streams, events, exchange, desk.settings, log)
