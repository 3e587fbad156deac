"""The emulated API as an ASGI app."""

import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from uuid import uuid4

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.backend import Backend
from serving.errors import InvalidRequest, TierError
from serving.hosted.emulator.answer import Job
from serving.hosted.emulator.core import Core
from serving.hosted.emulator.errors import ApiError, from_backend
from serving.hosted.emulator.exchange import Exchange, header_map, read_body, while_connected
from serving.hosted.emulator.faults import HEADER, Faults, before, within
from serving.hosted.emulator.limits import RateLimits
from serving.hosted.emulator.model_list import model_info, model_page
from serving.hosted.emulator.prompt_cache import PromptCache
from serving.hosted.emulator.render import sse, whole
from serving.hosted.models import catalog
from serving.settings.tiers import EmulatorFault


def create_emulator(
    answer: Mapping[str, Backend],
    *,
    keys: Collection[str] | None = None,
    faults: Mapping[str, float] | None = None,
    seed: int = 0,
    secret: bytes | None = None,
    requests_per_minute: int = 1_000_000,
    tokens_per_minute: int = 1_000_000_000,
    clock: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """An app that answers for the models that `answer` maps to backends.

    `keys`: the API keys it accepts, None for any non-empty one; each key is a workspace with a
    prompt cache of its own. `faults`: shares of requests by kind of fault, drawn from `seed`.
    `secret` signs thinking blocks (default: a fresh one, so that blocks die with the app).
    `clock` counts the seconds of cache lifetimes and rate limits.
    """
    core = Core(
        answer,
        catalog(),
        keys=keys,
        secret=secret or secrets.token_bytes(32),
        cache=PromptCache(clock),
        limits=RateLimits(clock, requests_per_minute, tokens_per_minute),
        faults=Faults(faults or {}, seed),
    )
    return Starlette(
        routes=[
            Route("/v1/messages", _Endpoint(core, messages, "POST")),
            Route("/v1/messages/count_tokens", _Endpoint(core, count_tokens, "POST")),
            Route("/v1/models", _Endpoint(core, models, "GET")),
            Route("/v1/models/{model}", _Endpoint(core, models, "GET")),
            Route("/{path:path}", _Endpoint(core, nothing, None)),
        ]
    )


class _Endpoint:
    """Reads the body, answers, and turns every failure into an error body."""

    def __init__(
        self,
        core: Core,
        answer: Callable[[Core, Exchange], Awaitable[None]],
        method: str | None,
    ) -> None:
        self._core, self._answer, self._method = core, answer, method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(header_map(scope), scope.get("path_params", {}), send)
        exchange.out["request-id"] = f"req_{uuid4().hex[:24]}"
        exchange.out["anthropic-organization-id"] = "emulator"
        if self._method not in {None, scope["method"]}:
            await exchange.fail(ApiError(405, "Method Not Allowed"))
            return
        try:
            body = await read_body(exchange.headers, receive)
        except ApiError as error:
            await exchange.fail(error)
            return
        if body is not None:
            exchange.body = body
            await while_connected(receive, self._guarded(exchange))

    async def _guarded(self, exchange: Exchange) -> None:
        try:
            exchange.workspace = self._core.workspace(exchange.headers)
            exchange.out["anthropic-workspace-id"] = f"wrkspc_{exchange.workspace}"
            exchange.version = self._core.version(exchange.headers)
            await self._answer(self._core, exchange)
        except ApiError as error:
            await exchange.fail(error)
        except (TierError, InvalidRequest) as error:
            await exchange.fail(from_backend(error))


async def messages(core: Core, exchange: Exchange) -> None:
    """`POST /v1/messages`."""
    core.limits.admit(exchange.workspace)
    request_id = exchange.out["request-id"]
    job = core.job(exchange.body, exchange.version, exchange.workspace, request_id)
    fault = core.faults.draw(exchange.headers.get(HEADER))
    await before(fault)
    exchange.out |= core.limits.headers(exchange.workspace)
    if job.request.stream:
        await _stream(core, job, fault, exchange)
    else:
        await _whole(core, job, fault, exchange)


async def count_tokens(core: Core, exchange: Exchange) -> None:
    """`POST /v1/messages/count_tokens`."""
    core.limits.admit(exchange.workspace)
    await exchange.json(200, core.count_tokens(exchange.body))


async def models(core: Core, exchange: Exchange) -> None:
    """`GET /v1/models`, and one of them by its id."""
    known = core.models
    wanted = exchange.path.get("model")
    if wanted is None:
        await exchange.json(200, model_page(known))
    elif wanted in known:
        await exchange.json(200, model_info(wanted, known[wanted]))
    else:
        raise ApiError(404, f"model: {wanted}")


async def nothing(core: Core, exchange: Exchange) -> None:  # noqa: ARG001 - every endpoint's shape
    raise ApiError(404, "Not found")


async def _whole(core: Core, job: Job, fault: EmulatorFault | None, exchange: Exchange) -> None:
    if fault == "overloaded_midstream":  # without a stream there is no midst
        raise ApiError(529, "Overloaded")
    async with aclosing(core.events(job)) as events:
        message = await whole(within("slow" if fault == "slow" else None, events))
    if fault in {"malformed", "truncated"}:
        await exchange.start(200, "application/json")
        await exchange.write(b'{"id": "msg_broken", "type": "mess', more=False)
    else:
        await exchange.json(200, message)


async def _stream(core: Core, job: Job, fault: EmulatorFault | None, exchange: Exchange) -> None:
    """Errors before the first event are HTTP errors; later ones are error events."""
    async with aclosing(core.events(job)) as source, aclosing(within(fault, source)) as events:
        first = await anext(events)
        exchange.out["cache-control"] = "no-cache"
        await exchange.start(200, "text/event-stream; charset=utf-8")
        await exchange.write(sse(first))
        if fault == "malformed":
            broken = b'event: content_block_delta\ndata: {"type": "content_bl\n\n'
            await exchange.write(broken, more=False)
            return
        try:
            async for event in events:
                await exchange.write(sse(event))
        except (TierError, InvalidRequest) as error:
            await exchange.write(sse(from_backend(error).body(exchange.out["request-id"])))
        await exchange.write(b"", more=False)
