"""What went wrong at an OpenAI-compatible server, in our own errors.

401, 402, 403, 404, a used-up quota  TierMisconfigured
400, 413, 422 and other 4xx          TierRejected
429                                  TierRateLimited, with retry_after
408, past the deadline               TierTimeout
409, 5xx, no connection              TierUnavailable
unreadable, broken off               TierProtocolError
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from serving.wire.retry_after import retry_after

MAX_MESSAGE_CHARS = 500

# A used-up quota answers 429 as a rate limit does, but no waiting lifts it.
UNPAID = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
# Money that is not there is not there a second later: until then nobody needs to ask again.
UNPAID_PAUSE_S = 60.0

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


Scrub = Callable[[str], str]


def _as_it_is(text: str) -> str:
    return text


@contextmanager
def translated(tier: str, *, began: bool = False, scrub: Scrub = _as_it_is) -> Iterator[None]:
    """Raises what the SDK raises within as a `TierError`. `began`: the answer has begun to arrive,
    so a lost connection means that it broke off. `scrub` removes secrets from what the server said.
    """
    try:
        yield
    except TierError as error:  # the server's own, in an answer
        error.message = scrub(error.message)
        error.args = (error.message,)
        error.param = None if error.param is None else scrub(error.param)
        raise
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
        raise of_status(tier, error.status_code, error.body, headers, scrub=scrub) from None
    except openai.APIError as error:  # an error event within a stream
        raise of_body(tier, error.body, scrub=scrub) from None
    except (openai.OpenAIError, ValueError, RecursionError) as error:
        raise TierProtocolError(f"{tier}: the answer cannot be read") from error


def of_body(tier: str, body: object, *, scrub: Scrub = _as_it_is) -> TierError:
    """From an error object that came without an HTTP status of its own."""
    code = body.get("code") if isinstance(body, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code).isdecimal() else 500
    return of_status(tier, status if 400 <= status < 600 else 500, body, {}, scrub=scrub)


def of_status(
    tier: str,
    status: int,
    body: object,
    headers: Mapping[str, str],
    *,
    scrub: Scrub = _as_it_is,
) -> TierError:
    """`body` is the content of the response's `error`, or the response's text."""
    code = body.get("code") if isinstance(body, dict) else None
    if status in _ACCOUNT or (status == 429 and code in UNPAID):
        # The server's own words may hold a part of the key.
        message = f"{tier}: the server refuses the key or the account ({status})"
        if status == 402 or code in UNPAID:
            return TierMisconfigured(message, code="spend_limit", retry_after=UNPAID_PAUSE_S)
        return TierMisconfigured(message)
    kind, what = _KINDS.get(status, _OTHERS.get(status // 100, _UNEXPECTED))
    message = f"{tier}: {what} ({status}): {scrub(_said(body))}"
    code = "model_not_found" if status == 404 else None
    param = _param(body, scrub)
    return kind(message, param=param, code=code, retry_after=retry_after(headers))


def _said(body: object) -> str:
    found: Any = body.get("message") if isinstance(body, dict) else body
    if not isinstance(found, str) or not found.strip():
        return "no reason given"
    return found.strip()[:MAX_MESSAGE_CHARS]


def _param(body: object, scrub: Scrub) -> str | None:
    found = body.get("param") if isinstance(body, dict) else None
    return scrub(found[:MAX_MESSAGE_CHARS]) if isinstance(found, str) else None
