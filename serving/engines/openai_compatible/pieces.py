"""A stream of an OpenAI-compatible server, put into the order that `Chunk` promises."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from serving.engines.openai_compatible import convert
from serving.engines.openai_compatible.reply import ChoiceReply, MessageReply, Reply
from serving.errors import TierProtocolError
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, ToolCallPart, Usage


class Pieces:
    """Reads one stream: `read` each event's JSON, then `end`."""

    def __init__(self, tier: str, model: str, request: ChatRequest) -> None:
        self._tier = tier
        self._model = model
        self._request = request
        self._head: Chunk | None = None
        self._open: dict[int, _OpenChoice] = {}
        self._finished: set[int] = set()
        self._usage: Usage | None = None

    def read(self, data: object) -> Iterator[Chunk]:
        """The chunks that one event amounts to; `TierError` where it is none or reports an error.
        What comes for a choice after its end is left out.
        """
        reply = convert.read(self._tier, data)
        self._usage = convert.usage(reply.usage) or self._usage
        head = self._head = self._head or self._first(reply)
        for choice in reply.choices:
            if choice.index not in self._finished:
                yield from self._choice(head, choice)

    def end(self) -> Iterator[Chunk]:
        """The usage, estimated where the server sent none. `TierProtocolError` where the stream
        stopped before its end.
        """
        if self._head is None or not self._finished or self._finished != self._open.keys():
            raise TierProtocolError(f"{self._tier}: the stream broke off")
        usage = self._usage
        if usage is None:
            choices = self._open.values()
            written = "".join(part for c in choices for part in c.written)
            tokens = sum(c.tokens for c in choices) if all(c.tokens for c in choices) else None
            usage = convert.estimated(self._request, written, tokens)
        yield Chunk(self._head.id, self._head.created, self._head.model, usage=usage)

    def _first(self, reply: Reply) -> Chunk:
        created = int(reply.created or time.time())
        return Chunk(reply.id or convert.new_id(), created, reply.model or self._model)

    def _choice(self, head: Chunk, choice: ChoiceReply) -> Iterator[Chunk]:
        delta = choice.delta or MessageReply()
        opens = choice.index not in self._open
        state = self._open.setdefault(choice.index, _OpenChoice(self._tier))
        logprobs = convert.logprobs(choice.logprobs)
        calls = state.calls_of(delta)
        state.saw(delta, calls, 0 if logprobs is None else len(logprobs))
        reason = None
        if choice.finish_reason is not None:
            reason = convert.finish(self._tier, choice.finish_reason, called=state.called)
            state.close()
            self._finished.add(choice.index)
        empty = Chunk(head.id, head.created, head.model, index=choice.index)
        chunk = replace(
            empty,
            role="assistant" if opens else None,
            content=delta.text if opens else delta.text or None,
            tool_calls=calls,
            refusal=delta.refusal or None,
            reasoning=delta.thoughts or None,
            logprobs=logprobs,
            finish_reason=reason,
            provider_content=(
                convert.provider_content(self._model, state.unknown) if reason else None
            ),
        )
        if chunk != empty:
            yield chunk


class _OpenChoice:
    """What one choice has sent so far."""

    def __init__(self, tier: str) -> None:
        self._tier = tier
        self._named: dict[int, bool] = {}
        self.written: list[str] = []
        self.tokens = 0
        self.unknown: dict[str, Any] = {}

    @property
    def called(self) -> bool:
        return bool(self._named)

    def calls_of(self, delta: MessageReply) -> tuple[ToolCallPart, ...]:
        """Pieces of calls: an id on the first of each call only, made up where the server gave
        none, and a name once, since clients add up what they get.
        """
        parts = []
        for place, call in enumerate(delta.tool_calls):
            index = place if call.index is None else call.index
            name = call.function.name if call.function and not self._named.get(index) else None
            made = None if index in self._named else call.id or convert.new_call_id()
            self._named[index] = self._named.get(index, False) or bool(name)
            parts.append(ToolCallPart(index, made, name or None, convert.arguments(call)))
        return tuple(parts)

    def saw(self, delta: MessageReply, calls: tuple[ToolCallPart, ...], tokens: int) -> None:
        self.tokens += tokens
        self.written += [delta.text or "", delta.thoughts or "", delta.refusal or ""]
        self.written += [f"{c.name or ''}{c.arguments}" for c in calls]
        for name, value in delta.unknown.items():
            old = self.unknown.get(name)
            joins = isinstance(old, str | list) and type(old) is type(value)
            self.unknown[name] = old + value if joins else value

    def close(self) -> None:
        """`TierProtocolError` where the choice lacks what every answer has."""
        if not all(self._named.values()):
            raise TierProtocolError(f"{self._tier}: a tool call names no function")
