"""The endpoints of single messages: `/v1/messages`, its token counts, and `/v1/models`."""

from contextlib import aclosing

from serving.errors import InvalidRequest, TierError
from serving.hosted.emulator.answer import Job
from serving.hosted.emulator.core import Core
from serving.hosted.emulator.errors import ApiError, from_backend
from serving.hosted.emulator.exchange import Exchange
from serving.hosted.emulator.faults import HEADER, before, forced_stop, within
from serving.hosted.emulator.model_list import model_info, model_page
from serving.hosted.emulator.render import sse, whole
from serving.settings.emulator import EmulatorFault

BROKEN_EVENT = b'event: content_block_delta\ndata: {"type": "content_bl\n\n'


async def messages(core: Core, exchange: Exchange) -> None:
    """`POST /v1/messages`."""
    core.admit(exchange.workspace)
    request_id = exchange.out["request-id"]
    fault = core.faults.draw(exchange.headers.get(HEADER))
    await before(fault)
    stop = forced_stop(fault)
    job = core.job(exchange.body, exchange.version, exchange.workspace, request_id, stop=stop)
    exchange.out |= core.limits.headers(exchange.workspace)
    if job.request.stream:
        await _stream(core, job, fault, exchange)
    else:
        await _whole(core, job, fault, exchange)


async def count_tokens(core: Core, exchange: Exchange) -> None:
    """`POST /v1/messages/count_tokens`."""
    core.limits.admit(exchange.workspace)
    await exchange.json(200, core.count_tokens(exchange.body, exchange.workspace))


async def models(core: Core, exchange: Exchange) -> None:
    """`GET /v1/models`, and one of them by its id."""
    known = core.models
    wanted = exchange.path.get("model")
    if wanted is None:
        await exchange.json(200, model_page(known, exchange.query))
    elif wanted in known:
        await exchange.json(200, model_info(wanted, known[wanted]))
    else:
        raise ApiError(404, f"model: {wanted}")


async def nothing(core: Core, exchange: Exchange) -> None:  # noqa: ARG001 - every endpoint's shape
    raise ApiError(404, "Not found")


async def _whole(core: Core, job: Job, fault: EmulatorFault | None, exchange: Exchange) -> None:
    if fault == "overloaded_midstream":  # without a stream there is no midst
        raise ApiError(529, "Overloaded")
    arrives = fault not in {"malformed", "truncated", "dropped"}
    async with aclosing(core.parts(job, delivered=arrives)) as parts:
        message = await whole(within(fault, parts) if fault == "slow" else parts)
    if fault == "dropped":
        await exchange.drop()
    elif arrives:
        await exchange.json(200, message)
    else:
        await exchange.broken()


async def _stream(core: Core, job: Job, fault: EmulatorFault | None, exchange: Exchange) -> None:
    """Errors before the first event are HTTP errors; later ones are error events."""
    async with aclosing(core.parts(job)) as source:
        parts = source if fault is None else within(fault, source)
        first = await anext(parts)
        exchange.out["cache-control"] = "no-cache"
        await exchange.start(200, "text/event-stream; charset=utf-8")
        await exchange.write(sse(*first))
        if fault == "malformed":
            await exchange.write(BROKEN_EVENT, more=False)
            return
        try:
            async for events in parts:
                await exchange.write(sse(*events))
        except (TierError, InvalidRequest) as error:
            await exchange.write(sse(from_backend(error).body(exchange.out["request-id"])))
        if fault != "dropped":  # the server closes a connection whose answer has no end
            await exchange.write(b"", more=False)
