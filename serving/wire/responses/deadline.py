"""By when a response in the background is to be answered: `metadata.deadline`."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from serving.errors import InvalidRequest

PARAM = "metadata.deadline"
DEFAULT = timedelta(hours=24)
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=7)


def deadline_of(metadata: Mapping[str, str] | None, now: datetime) -> datetime:
    """A time as RFC 3339 has it, or seconds from now. `InvalidRequest` for what is neither, has
    passed or is too far off.
    """
    text = (metadata or {}).get("deadline")
    if text is None:
        return now + DEFAULT
    at = _parsed(text, now)
    if at is None:
        raise _invalid("write seconds from now, or a time such as 2026-01-31T18:00:00Z")
    if at < now + SHORTEST:
        raise _invalid("it has passed")
    if at > now + LONGEST:
        raise _invalid(f"at most {LONGEST.days} days from now are allowed")
    return at


def _parsed(text: str, now: datetime) -> datetime | None:
    if text.isascii() and text.isdecimal():
        return now + timedelta(seconds=min(int(text[:12]), 10**9))
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value for '{PARAM}': {why}.", param=PARAM, code="invalid_deadline"
    )
