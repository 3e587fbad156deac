"""What stands at the door of each gateway replica, before Ray Serve's own code for a request.

Ray Serve calls `middlewares` by the path in `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`, in every
process that takes HTTP requests.
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNWATCHED = b"x-request-disconnect-disabled"
STEERING = frozenset({UNWATCHED, b"x-request-timeout-seconds", b"serve_multiplexed_model_id"})
"""Headers by which a client would tell Ray Serve how to treat its request."""

REQUEST_ID = b"x-request-id"


def middlewares() -> list[Middleware]:
    """None in the stand-in proxy: there it is Ray Serve that sees the client leave."""
    from ray import serve  # noqa: PLC0415 - an extra
    from ray.serve.exceptions import RayServeException  # noqa: PLC0415 - with it

    try:
        serve.get_replica_context()
    except RayServeException:
        return []
    return [Middleware(Door)]


class Door:
    """Leaves it to the API to see that a client has left, which it does anyway: where Ray Serve
    watches too, each request takes two tasks and a queue more. Clients cannot steer Ray Serve by
    its headers, and get one request id back, the API's, and not Ray Serve's beside it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [pair for pair in scope["headers"] if pair[0] not in STEERING]
        headers.append((UNWATCHED, b"?1"))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _one_id(message["headers"])
            await send(message)

        await self._app({**scope, "headers": headers}, receive, sending)


def _one_id(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Ray Serve adds its own at the end, whatever is there already."""
    ids = [at for at, (name, _) in enumerate(headers) if name.lower() == REQUEST_ID]
    if len(ids) < 2:
        return headers
    return [pair for at, pair in enumerate(headers) if at not in ids[1:]]
