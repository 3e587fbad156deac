"""One request and its answer, as the API sees them: who, what, what came of it."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from serving.api.auth import Caller
from serving.api.figures import Figures
from serving.backend import Trace, new_id

MAX_LOGGED_CHARS = 128
ENDPOINTS = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/tokenize",
        "/detokenize",
        "/v1/models",
        "/v1/files",
        "/v1/batches",
        "/v1/responses",
        "/health",
        "/ready",
        "/metrics",
    }
)
NUMBERED = ("/v1/models", "/v1/files", "/v1/batches", "/v1/responses")
"""Endpoints with others below them, by an id."""


@dataclass(slots=True)
class Exchange:
    """Kept in `scope["state"]`; endpoints write what they learn, the front door reads it when the
    response has left. `headers` leave with whatever response is sent. `slot` is released then.
    `endpoint` is one of a bounded set, fit for a label. Times are `time.monotonic()` seconds.
    """

    request_id: str
    client_request_id: str | None
    method: str
    endpoint: str
    started: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    model: str | None = None
    stream: bool = False
    explain: bool = False
    traces: Sequence[Trace] = ()
    headers: dict[str, str] = field(default_factory=dict)
    slot: ExitStack = field(default_factory=ExitStack)
    status: int | None = None
    error: str | None = None
    first_token_at: float | None = None
    final: Figures | None = None

    @classmethod
    def begin(cls, scope: Scope) -> "Exchange":
        path = scope["path"]
        if path not in ENDPOINTS:
            path = next((f"{p}/{{id}}" for p in NUMBERED if path.startswith(f"{p}/")), "other")
        return cls(
            request_id=f"req_{new_id()}",
            client_request_id=_client_id(scope["headers"]),
            method=scope["method"],
            endpoint=path,
        )

    @staticmethod
    def of(scope: Scope) -> "Exchange":
        found = scope["state"]["exchange"]
        assert isinstance(found, Exchange)
        return found

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def figures(self) -> Figures:
        """The figures so far; `settle` says that they will not change any more."""
        return self.final or Figures.of(self.traces)

    def settle(self) -> Figures:
        self.final = Figures.of(self.traces)
        return self.final

    @property
    def answer_id(self) -> str:
        """The number in the id of the answer, so that an answer leads to its request."""
        return self.request_id.removeprefix("req_")

    @property
    def first_token_seconds(self) -> float | None:
        return None if self.first_token_at is None else self.first_token_at - self.started

    def log_line(self) -> dict[str, Any]:
        """What the access log says, without the figures of the traces. No text of the client's but
        the names that it gave: its request id and the model.
        """
        caller = self.caller
        line: dict[str, Any] = {
            "request_id": self.request_id,
            "method": self.method,
            "endpoint": self.endpoint,
            "status": self.status,
            "ms": round(self.seconds * 1_000, 2),
            "client_request_id": self.client_request_id,
            "tenant": caller.tenant if caller else None,
            "key": caller.key_id if caller else None,
            "model": self.model[:MAX_LOGGED_CHARS] if self.model else None,
            "stream": self.stream or None,
            "error": self.error,
        }
        first = self.first_token_seconds
        line["ttft_ms"] = None if first is None else round(first * 1_000, 2)
        return {key: value for key, value in line.items() if value is not None}


def _client_id(headers: list[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"x-client-request-id":
            return value[:MAX_LOGGED_CHARS].decode("latin-1")
    return None
