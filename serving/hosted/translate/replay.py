"""Sends an assistant turn's own blocks back unchanged, thinking and signatures included."""

import copy
from typing import Any

from serving.hosted.translate.arguments import parse_arguments
from serving.hosted.translate.blocks import Block
from serving.wire.chat import Message

PROVIDER = "anthropic"
THINKING = frozenset({"thinking", "redacted_thinking"})
# Blocks that Claude itself writes, and their fields; anything else is the client's own.
_FIELDS: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
}


def replayed(message: Message, *, thinking: bool) -> list[Block] | None:
    """The blocks of `provider_content`, where they are Claude's and still say what the message
    says; None where the turn must be built from the message. Without `thinking` its blocks are
    left out. A turn that a client edited is not replayed: the edit would be lost.
    """
    blocks = own_blocks(message)
    if blocks is None:
        return None
    kept = [b for b in blocks if thinking or b["type"] not in THINKING]
    return [b for b in copy.deepcopy(kept) if b["type"] != "text" or b["text"].strip()]


def own_blocks(message: Message) -> list[Block] | None:
    """The blocks as the message carries them, not to be modified; None as for `replayed`."""
    carried = message.provider_content
    if carried is None or carried.get("provider") != PROVIDER:
        return None
    blocks = carried.get("content")
    if not isinstance(blocks, list) or not all(_returnable(b) for b in blocks):
        return None
    if _text(blocks) != _message_text(message) or _calls(blocks) != _message_calls(message):
        return None
    return blocks


def _returnable(block: Any) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    wanted = _FIELDS.get(kind) if isinstance(kind, str) else None
    return (
        wanted is not None
        and "cache_control" not in block
        and all(isinstance(block.get(key), type_) for key, type_ in wanted.items())
    )


def _text(blocks: list[Block]) -> str:
    return "".join(b["text"] for b in blocks if b["type"] == "text")


def _message_text(message: Message) -> str:
    if isinstance(message.content, list):
        return "".join(p.text for p in message.content if p.text is not None)
    return message.content or ""


def _calls(blocks: list[Block]) -> list[tuple[str, str, Any]]:
    return [(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]


def _message_calls(message: Message) -> list[tuple[str, str, Any]]:
    calls: list[tuple[str, str, Any]] = []
    for call in message.tool_calls or ():
        if call.function is None:
            return [("", "", None)]
        calls.append((call.id, call.function.name, _parsed(call.function.arguments)))
    return calls


def _parsed(arguments: str) -> Any:
    try:
        return parse_arguments(arguments)
    except ValueError:
        return None
