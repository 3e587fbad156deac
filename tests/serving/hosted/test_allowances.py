from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from serving.allowance import Allowance
from serving.hosted.allowances import MINUTE_S, allowances

SAID = datetime(2026, 10, 21, 12, 0, 0, tzinfo=UTC)


def headers(name: str = "requests", **changes: str) -> dict[str, str]:
    found = {"limit": "50", "remaining": "7", "reset": "2026-10-21T12:00:30Z", **changes}
    made = {f"anthropic-ratelimit-{name}-{k}": v for k, v in found.items()}
    return {"date": format_datetime(SAID, usegmt=True), **made}


def test_every_limit_is_read_under_its_own_unit() -> None:
    said = headers() | headers("input-tokens") | headers("output-tokens") | headers("tokens")
    assert [a.unit for a in allowances(said)] == [
        "calls",
        "input_tokens",
        "output_tokens",
        "tokens",
    ]
    assert allowances(headers())[0] == Allowance("calls", 50, 7, 30.0)


def test_the_servers_own_clock_says_how_far_away_the_reset_is() -> None:
    """Ours may be wrong by any time; without the server's there is nothing better."""
    assert allowances(headers())[0].reset_s == 30.0
    said = headers(reset=(datetime.now(UTC) + timedelta(seconds=20)).isoformat())
    del said["date"]
    assert 15 < allowances(said)[0].reset_s <= 20


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("2026-10-21T11:59:00Z", 0.0),
        ("2026-10-21T12:00:00.250+00:00", 0.25),
        ("2026-10-21T15:00:00Z", MINUTE_S),
    ],
)
def test_a_reset_is_neither_past_nor_further_away_than_the_minute(
    reset: str, seconds: float
) -> None:
    assert allowances(headers(reset=reset))[0].reset_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"anthropic-ratelimit-requests-limit": "50"},
        headers(limit="many"),
        headers(limit="0"),
        headers(remaining="-1"),
        headers(reset="soon"),
        headers("unified"),
    ],
)
def test_a_limit_that_is_not_stated_in_full_is_left_out(said: dict[str, str]) -> None:
    assert allowances(said) == ()


def test_more_than_all_cannot_be_left() -> None:
    assert allowances(headers(remaining="80"))[0].remaining == 50
