"""Lists in pages, as Anthropic's API cuts them: by the id of the item before or behind."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.hosted.emulator.errors import ApiError, invalid

LIMIT, MAX_LIMIT = 20, 1_000


def page(
    ids: Sequence[str], query: Mapping[str, str], *, limit: int = LIMIT
) -> tuple[Sequence[str], bool]:
    """The ids of the page that `query` asks for (`limit`, `after_id`, `before_id`), and whether
    more follow in the direction of its cursor. 404 for a cursor that is not in the list.
    """
    size = _limit(query.get("limit"), limit)
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise invalid("after_id and before_id must not be given together")
    if before:
        end = _place(ids, before)
        start = max(0, end - size)
        return ids[start:end], start > 0
    start = _place(ids, after) + 1 if after else 0
    return ids[start : start + size], start + size < len(ids)


def envelope(data: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page as the API answers it."""
    return {
        "data": data,
        "has_more": more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _limit(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:5]) <= MAX_LIMIT:
        raise invalid(f"limit: Input should be between 1 and {MAX_LIMIT}")
    return int(text)


def _place(ids: Sequence[str], wanted: str) -> int:
    try:
        return ids.index(wanted)
    except ValueError:
        raise ApiError(404, f"cursor: {wanted}") from None
