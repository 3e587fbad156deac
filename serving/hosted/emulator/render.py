"""Events as server-sent events, or put together into one message."""

import json
from collections.abc import AsyncIterator
from typing import Any

from serving.hosted.emulator.answer import Event


def sse(event: Event) -> bytes:
    """One event as it goes over the wire."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode("utf-8", "replace")


async def whole(events: AsyncIterator[Event]) -> dict[str, Any]:
    """The message that a stream amounts to. Unlike in a stream, its usage keeps the split of
    cache writes by lifetime.
    """
    message: dict[str, Any] = {}
    arguments: dict[int, str] = {}
    async for event in events:
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            message["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            _add(message["content"][event["index"]], event, arguments)
        elif kind == "message_delta":
            message |= event["delta"]
            message["usage"] |= event["usage"]
    for index, text in arguments.items():
        message["content"][index]["input"] = _object(text)
    return message


def _add(block: dict[str, Any], event: Event, arguments: dict[int, str]) -> None:
    delta = event["delta"]
    if delta["type"] == "text_delta":
        block["text"] += delta["text"]
    elif delta["type"] == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    elif delta["type"] == "input_json_delta":
        arguments[event["index"]] = arguments.get(event["index"], "") + delta["partial_json"]


def _object(text: str) -> dict[str, Any]:
    """A tool's input; what was cut off before it was an object is left empty."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
