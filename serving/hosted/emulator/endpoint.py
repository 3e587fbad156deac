"""What all endpoints share: bodies are read, methods and keys checked, failures answered."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import Receive, Scope, Send

from serving.errors import InvalidRequest, TierError
from serving.hosted.emulator.core import Core
from serving.hosted.emulator.errors import ApiError, from_backend
from serving.hosted.emulator.exchange import (
    MAX_BODY_BYTES,
    Exchange,
    header_map,
    query_map,
    read_body,
    while_connected,
)
from serving.hosted.emulator.ids import new_id

Answer = Callable[[Core, Exchange], Awaitable[None]]


class Endpoint:
    """An ASGI app that answers with one function per method. `open_to_all`: without a key."""

    def __init__(
        self,
        core: Core,
        answers: Mapping[str, Answer],
        *,
        most: int = MAX_BODY_BYTES,
        open_to_all: bool = False,
    ) -> None:
        self._core, self._answers = core, answers
        self._most, self._open = most, open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(
            header_map(scope), scope.get("path_params", {}), send, query_map(scope), _client(scope)
        )
        exchange.out["request-id"] = new_id("req")
        exchange.out["anthropic-organization-id"] = "emulator"
        answer = self._answers.get(scope["method"])
        if answer is None:
            await exchange.fail(ApiError(405, "Method Not Allowed"))
            return
        try:
            body = await read_body(exchange.headers, receive, self._most)
        except ApiError as error:
            await exchange.fail(error)
            return
        if body is not None:
            exchange.body = body
            await while_connected(receive, self._guarded(exchange, answer))

    async def _guarded(self, exchange: Exchange, answer: Answer) -> None:
        try:
            if not self._open:
                exchange.workspace = self._core.workspace(exchange.headers)
                exchange.out["anthropic-workspace-id"] = exchange.workspace
                exchange.version = self._core.version(exchange.headers)
            await answer(self._core, exchange)
        except ApiError as error:
            await exchange.fail(error)
        except (TierError, InvalidRequest) as error:
            await exchange.fail(from_backend(error))


def _client(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])
