"""OpenAI's messages as Anthropic's `system` and `messages`.

Between two assistant turns stands one user turn: tool results first, then what the user said, then
system messages that came later, as role `system` where the model takes them. Nothing moves in
front of an earlier turn, so a conversation that only grows keeps its cached prefix.
"""

from dataclasses import dataclass, field
from typing import Any

from serving.errors import InvalidRequest, TierRejected
from serving.hosted.translate.arguments import arguments_object
from serving.hosted.translate.blocks import (
    Block,
    chosen_detail,
    content_blocks,
    mark,
    part_blocks,
    text_block,
)
from serving.hosted.translate.blocks import cache_control as breakpoint_of
from serving.hosted.translate.ids import ToolIds, tool_name
from serving.hosted.translate.replay import replayed
from serving.wire.chat import Message

SYSTEM_ROLES = frozenset({"system", "developer"})
OPENING = "(The conversation begins.)"


@dataclass(frozen=True, slots=True)
class Conversation:
    """`system` blocks and `messages` (each with a list of blocks), the names of tools that the
    history calls, and `lost`: what messages carried and Claude has no field for.
    """

    system: list[Block]
    messages: list[dict[str, Any]]
    called: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    """What stands between two assistant turns."""

    results: list[Block] = field(default_factory=list)
    parts: list[Block] = field(default_factory=list)
    system: list[Block] = field(default_factory=list)


def conversation(
    messages: list[Message], *, mid_system: bool, prefill: bool, thinking: bool = True
) -> Conversation:
    """Raises `InvalidRequest` for tool calls and results that do not match, `TierRejected` for
    what the model cannot take. `thinking`: whether earlier thinking blocks are sent back.
    """
    lead = next((i for i, m in enumerate(messages) if m.role not in SYSTEM_ROLES), len(messages))
    system = [b for i, m in enumerate(messages[:lead]) for b in _system(m, f"messages.{i}")]
    walk = _Walk(mid_system, thinking)
    for i in range(lead, len(messages)):
        walk.add(messages[i], f"messages.{i}")
    turns = walk.finish()
    if not turns:  # a request of system messages alone: they are what the user asks
        turns, system = ([{"role": "user", "content": system}] if system else []), []
    if not turns:
        raise InvalidRequest("the messages have no content", param="messages")
    if turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [text_block(OPENING)]})
    if turns[-1]["role"] == "assistant":
        _end_with_assistant(turns[-1], prefill)
    return Conversation(system, turns, tuple(walk.called), _lost(messages))


class _Walk:
    def __init__(self, mid_system: bool, thinking: bool) -> None:
        self._mid_system, self._thinking = mid_system, thinking
        self._turns: list[dict[str, Any]] = []
        self._run = _Run()
        self._ids = ToolIds()
        self._pending: dict[str, str] = {}  # the client's id to the one that is sent
        self.called: dict[str, None] = {}

    def add(self, message: Message, where: str) -> None:
        if message.role == "assistant":
            self._assistant(message, where)
        elif message.role == "tool":
            self._result(message, where)
        elif message.role == "user":
            self._run.parts += content_blocks(message, where)
        elif message.role in SYSTEM_ROLES:
            self._system(message, where)
        else:
            raise InvalidRequest(
                "messages of role 'function' are not supported; use tools", param=where
            )

    def finish(self) -> list[dict[str, Any]]:
        self._close()
        return self._turns

    def _system(self, message: Message, where: str) -> None:
        blocks = _system(message, where)
        if self._mid_system:
            self._run.system += blocks
        else:
            self._run.parts += _framed(blocks)

    def _result(self, message: Message, where: str) -> None:
        called = message.tool_call_id or ""
        if called not in self._pending:
            raise InvalidRequest(
                f"tool_call_id {called!r} answers no tool call of the assistant message before it",
                param=f"{where}.tool_call_id",
            )
        sent = self._pending.pop(called)
        content = content_blocks(message, where)
        block: Block = {"type": "tool_result", "tool_use_id": sent}
        # A breakpoint inside a result is not stored; on the result itself it is.
        controls = [c for b in content if (c := b.pop("cache_control", None))]
        if content:
            block["content"] = content
        if (message.model_extra or {}).get("is_error") is True:
            block["is_error"] = True
        mark([block], controls[-1] if controls else breakpoint_of(message))
        self._run.results.append(block)

    def _assistant(self, message: Message, where: str) -> None:
        if self._silent(message, where):
            return  # nothing was said; its neighbours join
        self._close()
        for call in message.tool_calls or ():
            if call.id in self._pending:
                raise InvalidRequest(
                    f"tool call id {call.id!r} stands twice", param=f"{where}.tool_calls"
                )
            self._pending[call.id] = self._ids.new(call.id)
            if call.function is not None:
                self.called[tool_name(call.function.name)] = None
        own = all(sent == given for given, sent in self._pending.items())
        blocks = replayed(message, thinking=self._thinking) if own else None
        if blocks is None:
            blocks = _built(message, self._pending, where)
        mark(blocks, breakpoint_of(message))
        if blocks:
            self._append("assistant", blocks)

    def _silent(self, message: Message, where: str) -> bool:
        """An assistant turn without a word, a call or anything of Claude's own."""
        if (message.model_extra or {}).get("audio") is not None:
            raise TierRejected("Claude takes no audio in an assistant message", param=where)
        if self._pending or message.tool_calls or message.refusal or message.provider_content:
            return False
        return not message.text.strip() and not content_blocks(message, where)

    def _close(self) -> None:
        """Ends the run in front of an assistant turn or of the end."""
        if self._pending:
            raise InvalidRequest(
                "an assistant message with tool_calls must be followed by a message of role"
                f" 'tool' for each tool_call_id; missing: {', '.join(self._pending)}",
                param="messages",
            )
        run, self._run = self._run, _Run()
        said = run.results + run.parts
        if said:
            self._append("user", said)
        if run.system and said:
            self._append("system", run.system)
        elif run.system:  # role system must follow a user turn, and there is none
            self._append("user", _framed(run.system))

    def _append(self, role: str, blocks: list[Block]) -> None:
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"] += blocks
        else:
            self._turns.append({"role": role, "content": blocks})


def _system(message: Message, where: str) -> list[Block]:
    blocks = content_blocks(message, where)
    if any(b["type"] != "text" for b in blocks):
        raise TierRejected("Claude takes only text in a system message", param=where)
    return blocks


def _framed(blocks: list[Block]) -> list[Block]:
    """System text for a place where only a user may speak."""
    return [{**b, "text": f"<system>\n{b['text']}\n</system>"} for b in blocks]


def _lost(messages: list[Message]) -> tuple[str, ...]:
    lost = ["messages.name"] if any(m.name and m.role != "tool" for m in messages) else []
    if any(chosen_detail(p) for m in messages for p in m.content or () if not isinstance(p, str)):
        lost.append("messages.image_url.detail")
    return tuple(lost)


def _built(message: Message, ids: dict[str, str], where: str) -> list[Block]:
    """An assistant turn from the message alone, without the message's own breakpoint: that belongs
    to the last block of the turn.
    """
    blocks = part_blocks(message, where)
    if any(b["type"] != "text" for b in blocks):
        raise TierRejected("Claude takes only text in an assistant message", param=where)
    if message.refusal and message.refusal.strip():
        blocks.append(text_block(message.refusal))
    for call in message.tool_calls or ():
        if call.function is None:
            raise TierRejected(
                f"Claude takes no tool call of type {call.type!r}", param=f"{where}.tool_calls"
            )
        blocks.append(
            {
                "type": "tool_use",
                "id": ids[call.id],
                "name": tool_name(call.function.name),
                "input": arguments_object(call.function.arguments),
            }
        )
    return blocks


def _end_with_assistant(turn: dict[str, Any], prefill: bool) -> None:
    if not prefill:
        raise TierRejected(
            "the conversation ends with an assistant message, which this model does not continue",
            param="messages",
            code="prefill_not_supported",
        )
    last = turn["content"][-1]
    if last["type"] == "text":  # trailing white space in a prefill is refused
        last["text"] = last["text"].rstrip()
