"""Rules on the order and content of messages: who may say what, and after whom."""

import base64
import binascii
from collections.abc import Sequence

from serving.hosted.emulator.errors import invalid
from serving.hosted.emulator.wire import (
    DocumentBlock,
    ImageBlock,
    MessageParam,
    Prompt,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from serving.hosted.models import ModelAbility

MAX_IMAGE_BYTES = 10_000_000
ASSISTANT = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
USER = frozenset({"text", "image", "document", "tool_result"})


def check_messages(prompt: Prompt, ability: ModelAbility) -> None:
    """Raises the 400 of the first rule that the messages break."""
    messages = prompt.messages
    if messages[0].role != "user":
        raise invalid("messages: the first message must have the role 'user'")
    for i, message in enumerate(messages):
        _check_content(message, f"messages.{i}")
        if message.role == "system":
            _check_system(messages, i, ability)
    _check_tools(messages)
    uses_tools = any(b.type in {"tool_use", "tool_result"} for m in messages for b in m.content)
    if uses_tools and not prompt.tools:
        raise invalid("tools: requests with tool_use or tool_result blocks must define tools")
    if messages[-1].role == "assistant":
        _check_prefill(messages[-1], ability)


def check_text(text: str, where: str) -> None:
    if not text:
        raise invalid(f"{where}: text content blocks must be non-empty")
    if not text.strip():
        raise invalid(f"{where}: text content blocks must contain non-whitespace text")


def _check_content(message: MessageParam, where: str) -> None:
    if not message.content:
        raise invalid(f"{where}: messages must have non-empty content")
    allowed = {"assistant": ASSISTANT, "user": USER, "system": frozenset({"text"})}[message.role]
    for j, block in enumerate(message.content):
        place = f"{where}.content.{j}"
        if block.type not in allowed:
            raise invalid(f"{place}: `{block.type}` blocks are not allowed in {message.role} turns")
        if isinstance(block, TextBlock):
            check_text(block.text, place)
            if message.role == "user" and block.citations:
                raise invalid(f"{place}.citations: citations are not allowed in user turns")
        inner = block.content if isinstance(block, ToolResultBlock) else [block]
        for part in inner:
            if isinstance(part, TextBlock) and part is not block:
                check_text(part.text, place)
            if isinstance(part, ImageBlock | DocumentBlock):
                _check_source(part, place)


def _check_source(block: ImageBlock | DocumentBlock, where: str) -> None:
    source = block.source
    if source.type == "url":
        if not source.url.startswith("https://"):
            raise invalid(f"{where}.source.url: only HTTPS URLs are supported")
    elif source.type == "base64":
        try:
            raw = base64.b64decode(source.data, validate=True)
        except (binascii.Error, ValueError):
            raise invalid(f"{where}.source.base64: invalid base64 data") from None
        if not raw or (len(raw) > MAX_IMAGE_BYTES and block.type == "image"):
            raise invalid(f"{where}.source.base64: an image has 1 byte to 10 MB")


def _check_system(messages: Sequence[MessageParam], i: int, ability: ModelAbility) -> None:
    if not ability.mid_system:
        raise invalid("role 'system' is not supported on this model")
    before = next((m.role for m in reversed(messages[:i]) if m.role != "system"), None)
    after = next((m.role for m in messages[i:] if m.role != "system"), None)
    if before != "user" or after not in {None, "assistant"}:
        raise invalid(
            f"messages.{i}: a system message must immediately follow a user turn, and must"
            " precede an assistant turn or end the conversation"
        )


def _check_tools(messages: Sequence[MessageParam]) -> None:
    """Each tool_use is answered in the very next user turn, and nothing else is."""
    pending: list[str] = []
    seen: set[str] = set()
    opened = 0
    previous = ""
    for i, message in enumerate(messages):
        if message.role == "system":
            continue
        fresh = message.role != previous
        previous = message.role
        if message.role == "assistant":
            if pending and fresh:
                raise _unanswered(opened, pending)
            uses = [b.id for b in message.content if isinstance(b, ToolUseBlock)]
            for use in uses:
                if use in seen:
                    raise invalid(f"messages.{i}: `tool_use` ids must be unique: {use}")
                seen.add(use)
            pending, opened = pending + uses, i
            continue
        pending = _check_results(message, i, pending, first=fresh)
    if pending:
        raise _unanswered(opened, pending)


def _check_results(message: MessageParam, i: int, pending: list[str], *, first: bool) -> list[str]:
    results = [b for b in message.content if isinstance(b, ToolResultBlock)]
    for j, block in enumerate(message.content):
        if not isinstance(block, ToolResultBlock):
            continue
        if block.tool_use_id not in pending:
            raise invalid(
                f"messages.{i}.content.{j}: unexpected `tool_use_id` found in `tool_result`"
                f" blocks: {block.tool_use_id}. Each `tool_result` block must have a"
                " corresponding `tool_use` block in the previous message."
            )
        if first and j >= len(results):
            raise invalid(f"messages.{i}: `tool_result` blocks must come first in the message")
        pending = [p for p in pending if p != block.tool_use_id]
    return pending


def _unanswered(i: int, pending: list[str]) -> Exception:
    return invalid(
        f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after:"
        f" {', '.join(pending)}. Each `tool_use` block must have a corresponding `tool_result`"
        " block in the next message."
    )


def _check_prefill(message: MessageParam, ability: ModelAbility) -> None:
    if not ability.prefill:
        raise invalid(
            "This model does not support assistant message prefill."
            " The conversation must end with a user message."
        )
    last = message.content[-1]
    if isinstance(last, TextBlock) and last.text != last.text.rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")
