import time
from email.utils import formatdate

import pytest

from serving.engines.openai_compatible.errors import (
    MAX_MESSAGE_CHARS,
    of_body,
    of_status,
    retry_after,
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


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e12"}, 86_400.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    found = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert found is not None
    assert 55 < found <= 60


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
