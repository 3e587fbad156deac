"""What went wrong at an OpenAI-compatible server, in our own errors.

401, 402, 403, 404, a used-up quota  TierMisconfigured
400, 413, 422 and other 4xx          TierRejected
429                                  TierRateLimited, with retry_after
408, past the deadline               TierTimeout
409, 5xx, no connection              TierUnavailable
unreadable, broken off               TierProtocolError
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from serving.errors import (
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)

MAX_MESSAGE_CHARS = 500
MAX_RETRY_AFTER_S = 86_400.0

_ACCOUNT = frozenset({401, 402, 403})
_KINDS: dict[int, tuple[type[TierError], str]] = {
    404: (TierMisconfigured, "no such model or URL"),
    408: (TierTimeout, "the server timed out"),
    409: (TierUnavailable, "the server is in conflict"),
    429: (TierRateLimited, "rate limited"),
}
_OTHERS: dict[int, tuple[type[TierError], str]] = {
    4: (TierRejected, "the server rejects the request"),
    5: (TierUnavailable, "the server failed"),
}
_UNEXPECTED: tuple[type[TierError], str] = (TierProtocolError, "unexpected status")


@contextmanager
def translated(tier: str, *, began: bool = False) -> Iterator[None]:
    """Raises what the SDK raises within as a `TierError`. `began`: the answer has begun to arrive,
    so a lost connection means that it broke off.
    """
    try:
        yield
    except TimeoutError:
        raise TierTimeout(f"{tier}: no answer before the attempt's deadline") from None
    except openai.APITimeoutError:
        raise TierTimeout(f"{tier}: the connection timed out") from None
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        if began:
            raise TierProtocolError(f"{tier}: the answer broke off") from error
        raise TierUnavailable(f"{tier}: cannot reach the server") from error
    except openai.APIStatusError as error:
        headers = error.response.headers
        raise of_status(tier, error.status_code, error.body, headers) from None
    except openai.APIError as error:  # an error event within a stream
        raise of_body(tier, error.body) from None
    except (openai.OpenAIError, ValueError, RecursionError) as error:
        raise TierProtocolError(f"{tier}: the answer cannot be read") from error


def of_body(tier: str, body: object) -> TierError:
    """From an error object that came without an HTTP status of its own."""
    code = body.get("code") if isinstance(body, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code).isdecimal() else 500
    return of_status(tier, status if 400 <= status < 600 else 500, body, {})


def of_status(tier: str, status: int, body: object, headers: Mapping[str, str]) -> TierError:
    """`body` is the content of the response's `error`, or the response's text."""
    code = body.get("code") if isinstance(body, dict) else None
    if status in _ACCOUNT or (status == 429 and code == "insufficient_quota"):
        # The server's own words may hold a part of the key.
        return TierMisconfigured(f"{tier}: the server refuses the key or the account ({status})")
    kind, what = _KINDS.get(status, _OTHERS.get(status // 100, _UNEXPECTED))
    message = f"{tier}: {what} ({status}): {_said(body)}"
    return kind(message, param=_param(body), retry_after=retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until a retry may succeed, as the server says; None where it says nothing usable."""
    text = headers.get("retry-after-ms")
    if text is not None:
        return _seconds(text, 1e-3)
    text = headers.get("retry-after")
    if text is None:
        return None
    found = _seconds(text, 1.0)
    if found is not None:
        return found
    try:
        return max(
            0.0, min(parsedate_to_datetime(text).timestamp() - time.time(), MAX_RETRY_AFTER_S)
        )
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds(text: str, unit: float) -> float | None:
    try:
        value = float(text) * unit
    except ValueError:
        return None
    return min(value, MAX_RETRY_AFTER_S) if math.isfinite(value) and value >= 0 else None


def _said(body: object) -> str:
    found: Any = body.get("message") if isinstance(body, dict) else body
    if not isinstance(found, str) or not found.strip():
        return "no reason given"
    return found.strip()[:MAX_MESSAGE_CHARS]


def _param(body: object) -> str | None:
    found = body.get("param") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
