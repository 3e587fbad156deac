"""Parameters of lists, in a URL's query."""

from starlette.datastructures import QueryParams

from serving.errors import InvalidRequest


def limit_of(query: QueryParams, *, default: int, most: int) -> int:
    text = query.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= most:
        raise _invalid("limit", f"a number from 1 to {most}")
    return int(text[:9])


def ascending(query: QueryParams) -> bool:
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise _invalid("order", "'asc' or 'desc'")
    return order == "asc"


def _invalid(name: str, allowed: str) -> InvalidRequest:
    message = f"Invalid value for '{name}': {allowed} is allowed."
    return InvalidRequest(message, param=name, code="invalid_value")
