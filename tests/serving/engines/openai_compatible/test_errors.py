import pytest

from serving.engines.openai_compatible.errors import (
    MAX_MESSAGE_CHARS,
    UNPAID_PAUSE_S,
    of_body,
    of_status,
    translated,
)
from serving.errors import (
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.settings.secrets import scrubbed


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": 400, "message": "x"}, TierRejected),
        ({"code": "401"}, TierMisconfigured),
        ({"code": 429}, TierRateLimited),
        ({"code": "context_length_exceeded"}, TierUnavailable),
        ({"code": 200}, TierUnavailable),
        ("overloaded", TierUnavailable),
        (None, TierUnavailable),
    ],
)
def test_errors_without_a_status(body: object, kind: type[TierError]) -> None:
    assert type(of_body("t", body)) is kind


def test_messages_are_bounded_and_never_empty() -> None:
    assert len(of_status("t", 400, {"message": "x" * 9_999}, {}).message) < MAX_MESSAGE_CHARS + 100
    assert "no reason given" in of_status("t", 500, {"message": " "}, {}).message
    assert "<html>" in of_status("t", 502, "<html>bad gateway</html>", {}).message
    assert type(of_status("t", 304, "", {})) is TierProtocolError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), TierTimeout),
        (ValueError("x"), TierProtocolError),
        (RecursionError(), TierProtocolError),
    ],
)
def test_translation(error: Exception, kind: type[TierError]) -> None:
    with pytest.raises(kind), translated("t"):
        raise error


def test_our_own_mistakes_are_not_disguised() -> None:
    with pytest.raises(KeyError), translated("t"):
        raise KeyError("x")


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_a_used_up_quota_is_no_rate_limit_and_says_when_to_ask_again(code: str) -> None:
    found = of_status("t", 429, {"code": code, "message": "sk-…"}, {})
    assert isinstance(found, TierMisconfigured)
    assert (found.code, found.retry_after) == ("spend_limit", UNPAID_PAUSE_S)


KEY = "sk-proj-0123456789abcdef"


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_what_a_server_says_of_the_key_is_removed(status: int) -> None:
    def scrub(text: str) -> str:
        return scrubbed(text, KEY)

    body = {"message": f"bad key {KEY}"}
    assert "0123456" not in of_status("t", status, body, {}, scrub=scrub).message
    assert "0123456" not in of_body("t", {**body, "code": status}, scrub=scrub).message
    with pytest.raises(TierError) as caught, translated("t", scrub=scrub):
        raise of_body("t", body)
    assert "0123456" not in str(caught.value)
