"""A request's body: what is refused before it is read, before it is parsed, and before it is
checked field by field.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive

from serving.api.disconnect import ClientGone
from serving.api.eager import Begun
from serving.api.json_shape import count_members, json_shape
from serving.errors import (
    DeadlineExceeded,
    InvalidRequest,
    PayloadTooLarge,
    StepwellError,
    UnsupportedMediaType,
)
from serving.settings.root import LimitSettings


async def read_json(request: Request, limits: LimitSettings, deadline: float) -> dict[str, Any]:
    """The body, a JSON object within the limits. Reading it may take until `deadline`, in
    `time.monotonic()` seconds.
    """
    _check_media_type(request.headers)
    _check_announced(request.headers, limits.max_body_bytes)
    body = await _read(request.receive, limits.max_body_bytes, deadline)
    return parse_object(body, limits)


def parse_object(body: bytes, limits: LimitSettings) -> dict[str, Any]:
    """Raises `InvalidRequest` for what is no JSON object, too nested, too large or ambiguous."""
    shape = json_shape(body, limits.max_json_nodes)
    if shape.nodes > limits.max_json_nodes:
        raise InvalidRequest(
            f"The body holds more than {limits.max_json_nodes} JSON values.", code="too_many_values"
        )
    if shape.depth > limits.max_depth:
        raise InvalidRequest(
            f"The body is nested {shape.depth} levels deep; {limits.max_depth} are allowed.",
            code="nested_too_deep",
        )
    value = _parse(body)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    if count_members(value) != shape.members:
        raise InvalidRequest(_duplicate(body), code="duplicate_key")
    return value


def check_counts(body: Mapping[str, Any], limits: LimitSettings) -> None:
    """Bounds on lists of the body, before their items are looked at."""
    for name, most in (("messages", limits.max_messages), ("tools", limits.max_tools)):
        items = body.get(name)
        if isinstance(items, list) and len(items) > most:
            raise above_limit(name, len(items), most)
    choices = body.get("n")
    if isinstance(choices, int) and choices > limits.max_choices:
        raise above_limit("n", choices, limits.max_choices)


def check_choices(param: str, choices: int, limits: LimitSettings) -> None:
    """`choices` answers are asked for in all, `param` being what multiplies them."""
    if choices > limits.max_choices:
        raise above_limit(param, choices, limits.max_choices)


def above_limit(param: str, got: int, most: int) -> InvalidRequest:
    """The error of a list, or a number, that is too large."""
    return InvalidRequest(
        f"Invalid value for '{param}': at most {most} are allowed, got {got}.",
        param=param,
        code="above_limit",
    )


def _check_media_type(headers: Headers) -> None:
    """Only plain `application/json`. A web page can send other types to a loopback address without
    asking the browser's permission; compressed bodies could unfold without bound.
    """
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON with `Content-Type: application/json`.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Compressed bodies are not accepted; send the JSON as it is.")


def _check_announced(headers: Headers, most: int) -> None:
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdecimal() and int(announced[:20]) > most:
        raise _too_large(most)


async def _read(receive: Receive, most: int, deadline: float) -> bytes:
    """The whole body, which mostly is there already and needs no timer then."""
    begun = Begun(_body(receive, most))
    if begun.done:
        return begun.result
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await begun
    except TimeoutError:
        raise DeadlineExceeded(
            "The request body did not arrive in time.", code="body_timeout"
        ) from None


async def _body(receive: Receive, most: int) -> bytes:
    """Stops reading as soon as it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> StepwellError:
    return PayloadTooLarge(f"The body is larger than {most} bytes.")


def _parse(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = error.msg
        if "not valid UTF-8" in reason:
            reason = "it is not valid UTF-8"
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(
            f"The body is not valid JSON: {reason} ({where}).", code="invalid_json"
        ) from None


def _duplicate(body: bytes) -> str:
    """Names the first key that stands twice. Slow, and only run once one is known to."""
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in items:
            if key in seen:
                twice.append(key)
            seen.add(key)
        return {}

    json.loads(body, object_pairs_hook=pairs)
    named = f" '{twice[0][:64]}'" if twice else ""
    return f"The body is ambiguous: the key{named} stands twice in one object."
