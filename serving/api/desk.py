"""What the endpoints share, and how a request that may cost something is let in."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.api.auth import Caller, Keyring
from serving.api.calls import FLEX
from serving.api.doors import Doors
from serving.api.errors import client_error, error_body, error_headers
from serving.api.exchange import Exchange
from serving.api.limits import check_counts, read_json
from serving.api.rate_limits import RateLimits
from serving.api.service import Service
from serving.api.slots import Slots, Waiting
from serving.errors import RateLimited
from serving.settings.keys import Scope
from serving.settings.root import Settings
from serving.wire.render import dumps


@dataclass(frozen=True, slots=True)
class Desk:
    service: Service
    keyring: Keyring
    slots: Slots
    waiting: Waiting
    rate_limits: RateLimits = field(default_factory=RateLimits)
    doors: Doors = field(default_factory=Doors)

    @classmethod
    def of(cls, service: Service) -> "Desk":
        settings = service.settings
        most = settings.limits.max_concurrent
        return cls(service, Keyring(settings), Slots(most), Waiting(most // 2))

    @property
    def settings(self) -> Settings:
        return self.service.settings

    async def admit(self, request: Request, exchange: Exchange, *scopes: Scope) -> dict[str, Any]:
        """The body of a request whose key has one of `scopes` (default: it may chat), is within its
        rate and got a slot; raises `ClientError` or `Overloaded`. The slot is the exchange's until
        its response has left.
        """
        self.let_in(request, exchange, *(scopes or ("chat",)))
        deadline = exchange.started + self.settings.request_deadline_s
        body = await read_json(request, self.settings.limits, deadline)
        model = body.get("model")
        exchange.model = model if isinstance(model, str) else None
        check_counts(body, self.settings.limits)
        return body

    def seat(self, exchange: Exchange, service_tier: str | None) -> None:
        """A request that can wait needs a place among those that do; `RateLimited` where there is
        none.
        """
        if service_tier == FLEX:
            exchange.slot.enter_context(self.waiting.taken())

    def let_in(self, request: Request, exchange: Exchange, *scopes: Scope) -> Caller:
        """As `admit`, the body not read yet."""
        exchange.caller = caller = self.keyring.identify(request.headers)
        caller.require(*scopes)
        rate = self.rate_limits.hit(caller)
        if rate is not None:
            exchange.headers.update(rate.headers)
            if not rate.allowed:
                raise RateLimited(
                    f"Rate limit reached: {rate.limit} requests per minute.",
                    retry_after=rate.reset_s,
                )
        exchange.slot.enter_context(self.slots.taken(caller))
        return caller


def json_response(
    body: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(dumps(body), status, headers, media_type="application/json")


def error_response(error: Exception, exchange: Exchange) -> Response:
    """The HTTP answer to any exception."""
    told = client_error(error, exchange)
    exchange.error = told.code or told.type
    return json_response(error_body(told, exchange), told.status, error_headers(told))
