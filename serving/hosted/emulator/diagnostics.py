"""Cache diagnostics: where a request's prompt departs from that of the request it names."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache
from pydantic import BaseModel

from serving.hosted.emulator.positions import Position, settings_text
from serving.hosted.emulator.wire import MessagesRequest

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests of a request's parts, in the order of its prefix, and the tokens up to the end of
    each. `turns` is the number of its messages.
    """

    workspace: str
    model: str
    tools: str
    system: str
    messages: str
    settings: str
    turns: int
    tools_end: int
    system_end: int
    end: int


class Diagnostics:
    """Remembers the fingerprints of requests that carried `diagnostics`, by their message's id, of
    the last `keep` that were made or named.
    """

    def __init__(self, keep: int = KEPT) -> None:
        self._known: LRUCache[str, Fingerprint] = LRUCache(keep)

    def compare(
        self, request: MessagesRequest, workspace: str, rows: list[Position], message_id: str
    ) -> dict[str, Any] | None:
        """The answer's `diagnostics`, None where there is nothing to report. Remembers this
        request as that of `message_id`.
        """
        asked = request.diagnostics
        if asked is None:
            return None
        mark = fingerprint(request, workspace, rows)
        earlier = self._known.get(asked.previous_message_id or "")
        self._known[message_id] = mark
        if asked.previous_message_id is None:
            return None
        if earlier is None or earlier.workspace != workspace:
            return {"cache_miss_reason": {"type": "previous_message_not_found"}}
        reason = _reason(earlier, mark, request)
        return None if reason is None else {"cache_miss_reason": reason}


def fingerprint(request: MessagesRequest, workspace: str, rows: list[Position]) -> Fingerprint:
    """`rows` are the request's positions: one for each tool and system block, then the messages."""
    tools, system = len(request.tools), len(request.system)
    ends = [0, *(row.tokens for row in rows)]
    return Fingerprint(
        workspace=workspace,
        model=request.model,
        tools=_digest(request.tools),
        system=_digest(request.system),
        messages=_turns(request, len(request.messages)),
        settings=settings_text(request),
        turns=len(request.messages),
        tools_end=ends[tools],
        system_end=ends[tools + system],
        end=ends[-1],
    )


def _reason(old: Fingerprint, new: Fingerprint, request: MessagesRequest) -> dict[str, Any] | None:
    """The first difference, with the tokens of the old prompt from there on."""
    if new.model != old.model:
        return _changed("model", old.end)
    if new.tools != old.tools:
        return _changed("tools", old.end)
    if new.system != old.system:
        return _changed("system", old.end - old.tools_end)
    if new.turns < old.turns or _turns(request, old.turns) != old.messages:
        return _changed("messages", old.end - old.system_end)
    return {"type": "unavailable"} if new.settings != old.settings else None


def _changed(what: str, missed: int) -> dict[str, Any]:
    return {"type": f"{what}_changed", "cache_missed_input_tokens": missed}


def _digest(blocks: Iterable[BaseModel]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block.model_dump_json(exclude={"cache_control": True}).encode() + b"\0")
    return digest.hexdigest()


def _turns(request: MessagesRequest, count: int) -> str:
    turns = request.messages[:count]
    parts = ((m.role, _digest(m.content)) for m in turns)
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()
