"""The `anthropic` SDK's errors as ours."""

from typing import TYPE_CHECKING

from serving.errors import (
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)

if TYPE_CHECKING:
    from anthropic import APIStatusError

MAX_MESSAGE_CHARS = 500
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


def from_sdk(error: Exception, tier: str) -> TierError:
    """What an exception of the SDK, or of the HTTP library under it, means for the tier's attempt.
    The SDK must be importable.
    """
    import anthropic  # noqa: PLC0415 - an extra
    import httpx2  # noqa: PLC0415 - comes with it

    if isinstance(error, TierError):
        return error
    if isinstance(error, anthropic.APIStatusError):
        return from_status(error, tier)
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


def from_status(error: "APIStatusError", tier: str) -> TierError:
    """An error answer, or an error event inside a stream."""
    status = STATUS_OF_TYPE.get(str(error.type), error.status_code)
    text = (error.api_message or error.message)[:MAX_MESSAGE_CHARS]
    message = f"tier {tier}: {text}"
    if status == 429 and error.error_code in SPEND_CODES:
        return TierMisconfigured(message, code="spend_limit")
    if status in _MISCONFIGURED:
        return TierMisconfigured(message, code=_MISCONFIGURED[status])
    if status == 429:
        return TierRateLimited(message, retry_after=_retry_after(error))
    if status in {408, 409} or status >= 500:
        return TierUnavailable(message, retry_after=_retry_after(error))
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


def _retry_after(error: "APIStatusError") -> float | None:
    """Seconds to wait, where the answer says so as a number."""
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86_400 else None
