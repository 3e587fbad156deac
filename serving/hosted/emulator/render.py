"""Events as server-sent events, or put together into one message."""

import json
from collections.abc import AsyncIterator
from typing import Any

import orjson

from serving.hosted.emulator.writer import Event

_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def sse(*events: Event) -> bytes:
    """Events as they go over the wire."""
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), dumped(event)) for event in events
    )


def dumped(value: Any) -> bytes:
    """JSON; what is no valid Unicode becomes question marks."""
    try:
        return orjson.dumps(value)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


async def whole(parts: AsyncIterator[list[Event]]) -> dict[str, Any]:
    """The message that a stream amounts to. Unlike in a stream, its usage keeps the split of
    cache writes by lifetime.
    """
    message: dict[str, Any] = {}
    texts: dict[int, list[str]] = {}
    async for events in parts:
        for event in events:
            kind = event["type"]
            if kind == "message_start":
                message = event["message"]
            elif kind == "content_block_start":
                message["content"].append(dict(event["content_block"]))
            elif kind == "content_block_delta":
                _add(message["content"][event["index"]], event, texts)
            elif kind == "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    for index, pieces in texts.items():
        _end(message["content"][index], "".join(pieces))
    return message


def _add(block: dict[str, Any], event: Event, texts: dict[int, list[str]]) -> None:
    delta = event["delta"]
    if delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        texts.setdefault(event["index"], []).append(delta[_PIECES[delta["type"]]])


def _end(block: dict[str, Any], text: str) -> None:
    if block["type"] == "tool_use":
        block["input"] = _object(text)
    else:
        block[block["type"]] += text


def _object(text: str) -> dict[str, Any]:
    """A tool's input; what was cut off before it was an object is left empty."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
