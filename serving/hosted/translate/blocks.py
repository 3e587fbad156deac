"""Message content as Anthropic's blocks: text, images and documents, with cache breakpoints."""

import base64
import re
from typing import Any

from serving.errors import InvalidRequest, TierRejected
from serving.wire.chat import ContentPart, Message

Block = dict[str, Any]

UNMARKED = frozenset({"thinking", "redacted_thinking"})
"""Types of blocks that carry no breakpoint."""

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_DATA_URL = re.compile(r"data:([a-zA-Z0-9.+/-]+)((?:;[a-zA-Z0-9=.+-]+)*);base64,", re.ASCII)
PDF, PLAIN = "application/pdf", "text/plain"
_PDF = "JVBERi"  # what base64 makes of "%PDF-"
# OpenAI's breakpoints name longer times than Claude's caches keep; an hour is the nearest.
_BREAKPOINT_TTL = {"30m": "1h", "12h": "1h"}


def text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def cache_control(carrier: ContentPart | Message | Any) -> Block | None:
    """The breakpoint that a part, message or tool carries: Anthropic's `cache_control` as it is,
    OpenAI's `prompt_cache_breakpoint` translated; None where there is none.
    """
    extra = getattr(carrier, "model_extra", None)
    if not extra:
        return None
    found = extra.get("cache_control")
    if isinstance(found, dict) and found.get("type") == "ephemeral":
        ttl = found.get("ttl")
        return {"type": "ephemeral", "ttl": ttl} if ttl in {"5m", "1h"} else {"type": "ephemeral"}
    explicit = extra.get("prompt_cache_breakpoint")
    if isinstance(explicit, dict) and explicit.get("mode") == "explicit":
        ttl = _BREAKPOINT_TTL.get(str(explicit.get("ttl")))
        return {"type": "ephemeral", "ttl": ttl} if ttl else {"type": "ephemeral"}
    return None


def mark(blocks: list[Block], control: Block | None) -> None:
    """Puts a breakpoint on the last block that can carry one; one that stands there stays."""
    if control is None:
        return
    for block in reversed(blocks):
        if block["type"] not in UNMARKED:
            block.setdefault("cache_control", control)
            return


def content_blocks(message: Message, where: str) -> list[Block]:
    """The blocks of a message's content, with the message's own breakpoint on the last."""
    blocks = part_blocks(message, where)
    mark(blocks, cache_control(message))
    return blocks


def part_blocks(message: Message, where: str) -> list[Block]:
    """The blocks of a message's content. Text without a visible character is left out, since
    Claude refuses it; a breakpoint it carried moves to the block before it.
    """
    if message.content is None:
        return []
    if isinstance(message.content, str):
        return [text_block(message.content)] if message.content.strip() else []
    blocks: list[Block] = []
    for i, part in enumerate(message.content):
        made = _part(part, f"{where}.content.{i}")
        control = cache_control(part)
        if made is None:
            mark(blocks, control)
            continue
        if control is not None:
            made["cache_control"] = control
        blocks.append(made)
    return blocks


def _part(part: ContentPart, where: str) -> Block | None:
    if part.type in {"text", "refusal"}:
        text = part.text if part.type == "text" else (part.model_extra or {}).get("refusal")
        return text_block(text) if isinstance(text, str) and text.strip() else None
    if part.type == "image_url":
        return _image(part, where)
    if part.type == "file":
        return _file(part, where)
    raise TierRejected(f"Claude takes no content part of type {part.type!r}", param=where)


def _image(part: ContentPart, where: str) -> Block:
    image = (part.model_extra or {}).get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise InvalidRequest("a part of type 'image_url' needs 'image_url.url'", param=where)
    if url.startswith("https://"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    if url.startswith("http://"):
        raise TierRejected("Claude fetches images by https only", param=where)
    media, data = _data_url(url, where)
    if media not in IMAGE_TYPES:
        allowed = ", ".join(sorted(IMAGE_TYPES))
        raise TierRejected(f"Claude takes images of {allowed}, not {media}", param=where)
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


def chosen_detail(part: ContentPart) -> bool:
    """The part asks for an image to be looked at more or less closely than usual."""
    image = (part.model_extra or {}).get("image_url")
    return isinstance(image, dict) and image.get("detail") not in (None, "auto")


def _file(part: ContentPart, where: str) -> Block:
    file = (part.model_extra or {}).get("file")
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(file, dict) or not isinstance(data, str):
        raise TierRejected("Claude takes a file by its 'file_data', not by its id", param=where)
    if data.startswith(_PDF):  # bare base64, as OpenAI's reference has it
        data = f"data:{PDF};base64,{data}"
    media, content = _data_url(data, where)
    if media == PDF:
        source = {"type": "base64", "media_type": PDF, "data": content}
    elif media == PLAIN:
        source = {"type": "text", "media_type": PLAIN, "data": _plain(content, where)}
    else:
        raise TierRejected(f"Claude takes files of {PDF} and {PLAIN}, not {media}", param=where)
    block: Block = {"type": "document", "source": source}
    if isinstance(file.get("filename"), str) and file["filename"]:
        block["title"] = file["filename"][:500]
    return block


def _plain(content: str, where: str) -> str:
    try:
        text = base64.b64decode(content, validate=True).decode()
    except ValueError:
        raise InvalidRequest("the file is no base64 of UTF-8 text", param=where) from None
    if not text.strip():
        raise InvalidRequest("the file is empty", param=where)
    return text


def _data_url(url: str, where: str) -> tuple[str, str]:
    """Media type and base64 text of a data URL."""
    match = _DATA_URL.match(url)
    if match is None:
        raise InvalidRequest("expected an https URL or 'data:<type>;base64,…'", param=where)
    return match.group(1).lower(), url[match.end() :]
