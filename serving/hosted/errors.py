"""The `anthropic` SDK's errors as ours."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from anthropic import APIStatusError

MAX_MESSAGE_CHARS = 500
# Money that is not there is not there a second later: until then nobody needs to ask again.
UNPAID_PAUSE_S = 60.0
# A spend cap answers 429 as a rate limit does, but no waiting lifts it.
SPEND_CODES = frozenset(
    {
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
    }
)
# Errors inside a stream arrive after a 200, so the body's type counts, and the status without one.
STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_MISCONFIGURED = {
    401: "invalid_api_key",
    402: "billing",
    403: "permission_denied",
    404: "model_not_found",
}
# Here the API's own words may hold a part of the key.
_ABOUT_THE_KEY = {401: "the API refuses the key (401)", 403: "the key may not do this (403)"}

Scrub = Callable[[str], str]


def _as_it_is(text: str) -> str:
    return text


def from_sdk(error: Exception, tier: str, *, scrub: Scrub = _as_it_is) -> TierError:
    """What an exception of the SDK, or of the HTTP library under it, means for the tier's attempt.
    `scrub` removes secrets from what the API said. The SDK must be importable.
    """
    import anthropic  # noqa: PLC0415 - an extra
    import httpx2  # noqa: PLC0415 - comes with it

    if isinstance(error, TierError):
        return error
    if isinstance(error, anthropic.APIStatusError):
        return from_status(error, tier, scrub=scrub)
    cause = (error.__cause__ if isinstance(error, anthropic.APIConnectionError) else None) or error
    name = type(cause).__name__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):  # nothing was sent
        return TierUnavailable(f"tier {tier}: cannot connect ({name})")
    if isinstance(cause, anthropic.APITimeoutError | httpx2.TimeoutException | TimeoutError):
        return TierTimeout(f"tier {tier}: no answer before the deadline")
    if isinstance(cause, UnicodeEncodeError):  # half of a surrogate pair cannot be sent as UTF-8
        return TierRejected(f"tier {tier}: the request holds text that is no valid Unicode")
    broke = isinstance(cause, httpx2.TransportError | anthropic.APIConnectionError)
    what = "the connection broke off" if broke else "the answer does not parse"
    return TierProtocolError(f"tier {tier}: {what} ({name})")


def from_status(error: "APIStatusError", tier: str, *, scrub: Scrub = _as_it_is) -> TierError:
    """An error answer, or an error event inside a stream."""
    status = STATUS_OF_TYPE.get(str(error.type), error.status_code)
    return of_status(
        status,
        tier,
        scrub((error.api_message or error.message)[:MAX_MESSAGE_CHARS]),
        details_code=error.error_code,
        wait_s=retry_after(error.response.headers),
    )


def from_body(body: Mapping[str, Any], tier: str, *, scrub: Scrub = _as_it_is) -> TierError:
    """The error of one request of a batch: the whole `{type, error, request_id}`."""
    found = body.get("error")
    error: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, Mapping) else None
    status = STATUS_OF_TYPE.get(str(error.get("type")), 500)
    text = scrub(str(error.get("message") or "no reason given")[:MAX_MESSAGE_CHARS])
    return of_status(status, tier, text, details_code=code if isinstance(code, str) else None)


def of_status(
    status: int,
    tier: str,
    text: str,
    *,
    details_code: str | None = None,
    wait_s: float | None = None,
) -> TierError:
    """`text` is what the API said, `details_code` its `error.details.error_code`, `wait_s` what it
    asked to be left alone for.
    """
    message = f"tier {tier}: {_ABOUT_THE_KEY.get(status, text)}"
    if status == 429 and details_code in SPEND_CODES:
        return TierMisconfigured(message, code="spend_limit", retry_after=UNPAID_PAUSE_S)
    if status in _MISCONFIGURED:
        pause_s = UNPAID_PAUSE_S if status == 402 else None
        return TierMisconfigured(message, code=_MISCONFIGURED[status], retry_after=pause_s)
    if status == 429:
        return TierRateLimited(message, retry_after=wait_s)
    if status in {408, 409} or status >= 500:
        return TierUnavailable(message, retry_after=wait_s)
    code = "request_too_large" if status == 413 else None
    return TierRejected(message, code=code) if status >= 400 else TierProtocolError(message)


def is_thinking_mismatch(error: Exception) -> bool:
    """True where the API refused a replayed thinking block: its conversation was edited, or the
    block was. The same request without thinking blocks may be accepted.
    """
    import anthropic  # noqa: PLC0415 - an extra

    if not isinstance(error, anthropic.BadRequestError):
        return False
    text = error.api_message or ""
    return "`thinking`" in text and (
        "`signature`" in text or "bound to a different conversation" in text or "modified" in text
    )
