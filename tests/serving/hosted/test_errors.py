from typing import Any

import anthropic
import httpx2
import pytest

from serving.errors import (
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.hosted.errors import UNPAID_PAUSE_S, from_body, from_sdk, is_thinking_mismatch
from serving.settings.secrets import scrubbed

SPENT = "enforced_spend_limit_reached"
REQUEST = httpx2.Request("POST", "https://x.test")


def sdk_error(
    status: int, kind: str, text: str = "why", *, headers: Any = None, details: Any = None
) -> anthropic.APIStatusError:
    """The error as the SDK itself makes it."""
    body = {"type": "error", "error": {"type": kind, "message": text, "details": details}}
    response = httpx2.Response(status, json=body, headers=headers, request=REQUEST)
    client = anthropic.Anthropic(api_key="k")
    return client._make_status_error("sdk text", body=body, response=response)


@pytest.mark.parametrize(
    ("status", "kind", "error", "code"),
    [
        (400, "invalid_request_error", TierRejected, "tier_rejected"),
        (401, "authentication_error", TierMisconfigured, "invalid_api_key"),
        (402, "billing_error", TierMisconfigured, "billing"),
        (403, "permission_error", TierMisconfigured, "permission_denied"),
        (404, "not_found_error", TierMisconfigured, "model_not_found"),
        (408, "timeout", TierUnavailable, "tier_unavailable"),
        (409, "conflict_error", TierUnavailable, "tier_unavailable"),
        (413, "request_too_large", TierRejected, "request_too_large"),
        (422, "odd", TierRejected, "tier_rejected"),
        (429, "rate_limit_error", TierRateLimited, "tier_rate_limited"),
        (500, "api_error", TierUnavailable, "tier_unavailable"),
        (503, "odd", TierUnavailable, "tier_unavailable"),
        (504, "timeout_error", TierUnavailable, "tier_unavailable"),
        (529, "overloaded_error", TierUnavailable, "tier_unavailable"),
        # An error event inside a stream, after a 200.
        (200, "overloaded_error", TierUnavailable, "tier_unavailable"),
        (200, "rate_limit_error", TierRateLimited, "tier_rate_limited"),
        (200, "invalid_request_error", TierRejected, "tier_rejected"),
        (200, "something_new", TierProtocolError, "tier_protocol_error"),
    ],
)
def test_statuses_and_error_events(
    status: int, kind: str, error: type[TierError], code: str
) -> None:
    found = from_sdk(sdk_error(status, kind), "top")
    assert type(found) is error
    assert found.code == code
    about_the_key = code in {"invalid_api_key", "permission_denied"}
    assert (found.message == "tier top: why") is not about_the_key


def test_a_spend_cap_is_not_a_rate_limit() -> None:
    details = {"error_code": "enforced_spend_limit_reached"}
    found = from_sdk(sdk_error(429, "rate_limit_error", details=details), "top")
    assert isinstance(found, TierMisconfigured)
    assert found.code == "spend_limit"
    assert not found.retryable
    assert found.retry_after == UNPAID_PAUSE_S
    unpaid = from_sdk(sdk_error(402, "billing_error"), "top")
    assert (unpaid.code, unpaid.retry_after) == ("billing", UNPAID_PAUSE_S)
    ramp = {"error_code": "ramp_limit_exceeded"}
    assert isinstance(from_sdk(sdk_error(429, "rate_limit_error", details=ramp), "top"),
                      TierRateLimited)  # fmt: skip


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("-1", None), (None, None)]
)
def test_the_time_to_wait(header: str | None, seconds: float | None) -> None:
    headers = {"retry-after": header} if header else {}
    for status, kind in ((429, "rate_limit_error"), (529, "overloaded_error")):
        found = from_sdk(sdk_error(status, kind, headers=headers), "top")
        assert found.retry_after == seconds


def wrapped(cause: Exception) -> Exception:
    """As the SDK wraps what the HTTP library raises."""
    error = (
        anthropic.APITimeoutError(REQUEST)
        if isinstance(cause, httpx2.TimeoutException)
        else anthropic.APIConnectionError(request=REQUEST)
    )
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (anthropic.APITimeoutError(REQUEST), TierTimeout),
        (TimeoutError(), TierTimeout),
        (httpx2.ReadTimeout("slow"), TierTimeout),
        (wrapped(httpx2.ConnectError("refused")), TierUnavailable),
        (wrapped(httpx2.ConnectTimeout("slow")), TierUnavailable),
        (wrapped(httpx2.ReadError("reset")), TierProtocolError),
        (anthropic.APIConnectionError(request=REQUEST), TierProtocolError),
        (httpx2.RemoteProtocolError("incomplete"), TierProtocolError),
        (ValueError("no JSON"), TierProtocolError),
    ],
)
def test_what_goes_wrong_without_an_answer(error: Exception, kind: type[TierError]) -> None:
    assert type(from_sdk(error, "top")) is kind


def test_an_error_of_ours_stays_itself() -> None:
    error = TierRejected("x")
    assert from_sdk(error, "top") is error


def test_long_messages_are_cut() -> None:
    assert len(from_sdk(sdk_error(400, "invalid_request_error", "x" * 9_999), "top").message) < 600


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("messages.1.content.0: Invalid `signature` in `thinking` block", True),
        ("x: Invalid `signature` in `thinking` block. The block is bound to a different", True),
        ("`thinking` or `redacted_thinking` blocks in the latest message cannot be modified", True),
        ('"thinking.type.disabled" is not supported for this model.', False),
        ("max_tokens: too large", False),
    ],
)
def test_refusals_of_replayed_thinking_are_told_apart(text: str, found: bool) -> None:
    assert is_thinking_mismatch(sdk_error(400, "invalid_request_error", text)) is found
    assert not is_thinking_mismatch(sdk_error(500, "api_error", text))
    assert not is_thinking_mismatch(ValueError(text))


KEY = "sk-ant-api03-0123456789abcdef"


def scrub(text: str) -> str:
    return scrubbed(text, KEY)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 529])
def test_what_the_api_says_of_the_key_is_removed(status: int) -> None:
    found = from_sdk(sdk_error(status, "odd", f"header {KEY}"), "top", scrub=scrub)
    assert "0123456" not in found.message


def test_a_key_of_which_the_api_shows_a_few_letters_is_not_shown() -> None:
    found = from_sdk(sdk_error(401, "authentication_error", "invalid key sk-...cdef"), "top")
    assert "cdef" not in found.message


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        ({"error": {"type": "invalid_request_error"}}, TierRejected, "tier_rejected"),
        ({"error": {"type": "overloaded_error"}}, TierUnavailable, "tier_unavailable"),
        (
            {"error": {"type": "rate_limit_error", "details": {"error_code": SPENT}}},
            TierMisconfigured,
            "spend_limit",
        ),
        ({"error": {"type": "new_error"}}, TierUnavailable, "tier_unavailable"),
        ({"error": "text"}, TierUnavailable, "tier_unavailable"),
        ({}, TierUnavailable, "tier_unavailable"),
    ],
)
def test_the_error_of_one_request_of_a_batch(
    body: dict[str, Any], error: type[TierError], code: str
) -> None:
    found = from_body({"type": "error", "request_id": "req_1", **body}, "top", scrub=scrub)
    assert type(found) is error
    assert found.code == code
