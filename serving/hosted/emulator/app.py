"""The emulated API as an ASGI app."""

import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving.backend import Backend
from serving.hosted.emulator import control
from serving.hosted.emulator.batches.routes import BatchRoutes
from serving.hosted.emulator.batches.shape import MAX_BYTES
from serving.hosted.emulator.billing.account import KEPT, Account
from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.core import Core
from serving.hosted.emulator.endpoint import Endpoint
from serving.hosted.emulator.faults import Faults
from serving.hosted.emulator.limits import RateLimits
from serving.hosted.emulator.messages import count_tokens, messages, models, nothing
from serving.hosted.models import catalog
from serving.settings.emulator import EmulatorBatches

CONTROL_BYTES = 10_000


class Emulator:
    """The app, with the `account` of what it billed and the `clock` that it goes by. Its lifespan
    ends the work on batches; a server without lifespans calls `aclose`.
    """

    def __init__(self, core: Core, batches: EmulatorBatches, seed: int) -> None:
        self.account, self.clock = core.account, core.clock
        self._app = Starlette(routes=_routes(core, batches, seed), lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def aclose(self) -> None:
        await self.clock.aclose()

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.aclose()


def create_emulator(
    answer: Mapping[str, Backend],
    *,
    batch_answer: Mapping[str, Backend] | None = None,
    keys: Collection[str] | None = None,
    faults: Mapping[str, float] | None = None,
    batches: EmulatorBatches | None = None,
    seed: int = 0,
    secret: bytes | None = None,
    requests_per_minute: int = 1_000_000,
    tokens_per_minute: int = 1_000_000_000,
    spend_limit: Decimal | None = None,
    keep_bills: int | None = KEPT,
    clock: Clock | None = None,
) -> Emulator:
    """An app that answers for the models that `answer` maps to backends, and in batches from
    those of `batch_answer`, by default the same.

    `keys`: the API keys it accepts, None for any non-empty one; each key is a workspace with a
    prompt cache of its own. `faults`: shares of requests by kind of fault, drawn from `seed`.
    `batches`: how batches are worked off. `secret` signs thinking blocks (default: a fresh one, so
    that blocks die with the app). `spend_limit`: USD beyond which a workspace gets no answer.
    `keep_bills`: how many single bills the account keeps, None for all. `clock`: by default one
    that cannot be moved.
    """
    clock = clock or Clock()
    core = Core(
        answer,
        catalog(),
        batch_answer=batch_answer or answer,
        keys=keys,
        secret=secret or secrets.token_bytes(32),
        clock=clock,
        account=Account(keep_bills),
        limits=RateLimits(clock, clock.date, requests_per_minute, tokens_per_minute),
        faults=Faults(faults or {}, seed),
        spend_limit=spend_limit,
    )
    return Emulator(core, batches or EmulatorBatches(), seed)


def _routes(core: Core, rules: EmulatorBatches, seed: int) -> list[Route]:
    batches = BatchRoutes(core, rules, seed)
    one = "/v1/messages/batches/{id}"
    own = {
        "/emulator/clock": {"GET": control.show_clock, "POST": control.move_clock},
        "/emulator/account": {"GET": control.show_account},
        "/emulator/account/requests": {"GET": control.show_bills},
        "/emulator/account/requests/{id}": {"GET": control.show_bill},
    }
    collection = {"POST": batches.create, "GET": batches.listing}
    member = {"GET": batches.retrieve, "DELETE": batches.delete}
    anything = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"), nothing)
    return [
        Route("/v1/messages", Endpoint(core, {"POST": messages})),
        Route("/v1/messages/count_tokens", Endpoint(core, {"POST": count_tokens})),
        Route("/v1/messages/batches", Endpoint(core, collection, most=MAX_BYTES)),
        Route(one, Endpoint(core, member)),
        Route(f"{one}/cancel", Endpoint(core, {"POST": batches.cancel})),
        Route(f"{one}/results", Endpoint(core, {"GET": batches.results})),
        Route("/v1/models", Endpoint(core, {"GET": models})),
        Route("/v1/models/{model}", Endpoint(core, {"GET": models})),
        *(
            Route(path, Endpoint(core, a, most=CONTROL_BYTES, open_to_all=True))
            for path, a in own.items()
        ),
        Route("/{path:path}", Endpoint(core, anything)),
    ]
