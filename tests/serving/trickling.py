"""A server whose answers come a byte at a time, for ever."""

import asyncio
import json
from typing import Any

from starlette.types import Receive, Scope, Send

GAP_S = 0.02


class Trickling:
    """Answers to paths that begin with `slow` never end; to others, `answer` comes at once."""

    def __init__(self, slow: str, answer: Any = None) -> None:
        self._slow = slow
        self._answer = json.dumps(answer).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not scope["path"].startswith(self._slow):
            await send({"type": "http.response.body", "body": self._answer})
            return
        gone = asyncio.create_task(_gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.wait([gone], timeout=GAP_S)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
