"""A backend's stream as the events of Anthropic's stream."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from serving.backend import Backend, Call
from serving.hosted.emulator.parse import to_chat
from serving.hosted.emulator.prompt_cache import CachePlan
from serving.hosted.emulator.stops import StopScanner
from serving.hosted.emulator.thinking import Thinking
from serving.hosted.emulator.tokens import text_tokens
from serving.hosted.emulator.wire import MessagesRequest
from serving.hosted.models import ModelAbility
from serving.wire.completion import Chunk, ToolCallPart

Event = dict[str, Any]

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One request that passed every check, and what is known before it is answered. `begin` is
    called when the response begins; `signature` signs the thinking.
    """

    request: MessagesRequest
    ability: ModelAbility
    backend: Backend
    call: Call
    plan: CachePlan
    thinking: Thinking | None
    signature: str
    begin: Callable[[], None]


async def events(job: Job) -> AsyncGenerator[Event, None]:
    """The events of one message, from `message_start` to `message_stop`. Errors of the backend
    before its first chunk come before any event.
    """
    writer = _Writer(job)
    if not writer.room:  # only the cache is filled, or thinking leaves nothing for an answer
        job.begin()
        for event in writer.open():
            yield event
    else:
        chat = to_chat(job.request, writer.room)
        async with aclosing(job.backend.stream(chat, job.call)) as chunks:
            first = await anext(aiter(chunks))
            job.begin()
            for event in writer.open():
                yield event
            async for chunk in _chain(first, chunks):
                for event in writer.write(chunk):
                    yield event
                if writer.done:
                    break
    for event in writer.close():
        yield event


async def _chain(first: Chunk, rest: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    yield first
    async for chunk in rest:
        yield chunk


class _Writer:
    """Turns chunks into blocks: text and tool calls follow each other as they come."""

    def __init__(self, job: Job) -> None:
        self._job = job
        request, thinking = job.request, job.thinking
        self._thought = min(thinking.tokens, request.max_tokens) if thinking else 0
        window = max(0, job.ability.context - job.plan.total - self._thought)
        asked = request.max_tokens - self._thought
        self.room = min(asked, window)
        self._short = "model_context_window_exceeded" if window < asked else "max_tokens"
        self._scanner = StopScanner(request.stop_sequences)
        self._index, self._open = -1, ""
        self._emitted: list[str] = []
        self._reported: int | None = None
        self._stop = self._short if not self.room else "end_turn"
        self._details: Event | None = None
        self._ping = True
        self._single = getattr(request.tool_choice, "disable_parallel_tool_use", False)
        self._tools = 0
        self.done = False

    def open(self) -> list[Event]:
        plan = self._job.plan
        message: Event = {
            "id": f"msg_{uuid4().hex[:24]}",
            "type": "message",
            "role": "assistant",
            "model": self._job.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": {
                "input_tokens": plan.input_tokens,
                "cache_creation_input_tokens": plan.written,
                "cache_read_input_tokens": plan.read,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": plan.write_5m,
                    "ephemeral_1h_input_tokens": plan.write_1h,
                },
                "output_tokens": min(1, self._job.request.max_tokens),
                "service_tier": "standard",
                "inference_geo": self._job.request.inference_geo or "global",
            },
        }
        return [{"type": "message_start", "message": message}, *self._think()]

    def write(self, chunk: Chunk) -> list[Event]:
        if chunk.usage is not None:
            self._reported = chunk.usage.completion_tokens
            return []
        made: list[Event] = []
        if chunk.content:
            made += self._text(self._scanner.feed(chunk.content))
        for part in chunk.tool_calls:
            made += self._tool(part)
        if chunk.refusal:
            self._details = {"type": "refusal", "category": None, "explanation": chunk.refusal}
        if chunk.finish_reason is not None:
            made += self._text(self._scanner.flush())
            reason = STOP_REASONS[chunk.finish_reason]
            self._stop = self._short if reason == "max_tokens" else reason
        if self._scanner.hit is not None:
            self._stop, self.done = "stop_sequence", True
        return made

    def close(self) -> list[Event]:
        details = None
        if self._stop == "refusal":
            details = self._details or {"type": "refusal", "category": None, "explanation": None}
        plan = self._job.plan
        delta = {
            "stop_reason": self._stop,
            "stop_sequence": self._scanner.hit,
            "stop_details": details,
        }
        usage = {
            "input_tokens": plan.input_tokens,
            "cache_creation_input_tokens": plan.written,
            "cache_read_input_tokens": plan.read,
            "output_tokens": self._thought + self._answered(),
            "output_tokens_details": {"thinking_tokens": self._thought},
        }
        return [
            *self._end_block(),
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]

    def _answered(self) -> int:
        """Output tokens of the answer: what the backend reported, where all of it was used."""
        if self._reported is not None and self._scanner.hit is None:
            return self._reported
        return text_tokens("".join(self._emitted), self._job.ability.tokenizer)

    def _think(self) -> list[Event]:
        thinking = self._job.thinking
        if thinking is None or not self._job.request.max_tokens:
            return []
        made = self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if thinking.text:
            made.append(self._delta("thinking_delta", thinking=thinking.text))
        made.append(self._delta("signature_delta", signature=self._job.signature))
        return made + self._end_block()

    def _text(self, text: str) -> list[Event]:
        if not text:
            return []
        self._emitted.append(text)
        made: list[Event] = []
        if self._open != "text":
            made += self._end_block() + self._begin("text", {"type": "text", "text": ""})
        return [*made, self._delta("text_delta", text=text)]

    def _tool(self, part: ToolCallPart) -> list[Event]:
        made: list[Event] = []
        if part.id is not None:
            self._tools += 1
            if self._tools > 1 and self._single:
                return []
            made += self._text(self._scanner.flush()) + self._end_block()
            use = f"toolu_{uuid4().hex[:24]}"
            block: Event = {"type": "tool_use", "id": use, "name": part.name, "input": {}}
            made += [*self._begin("tool_use", block), self._delta_json("")]
        if part.arguments and not (self._tools > 1 and self._single):
            self._emitted.append(part.arguments)
            made.append(self._delta_json(part.arguments))
        return made

    def _begin(self, kind: str, block: Event) -> list[Event]:
        self._index, self._open = self._index + 1, kind
        made: list[Event] = [
            {"type": "content_block_start", "index": self._index, "content_block": block}
        ]
        if self._ping:
            self._ping = False
            made.append({"type": "ping"})
        return made

    def _delta(self, kind: str, **fields: str) -> Event:
        delta = {"type": kind, **fields}
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _delta_json(self, text: str) -> Event:
        return self._delta("input_json_delta", partial_json=text)

    def _end_block(self) -> list[Event]:
        if not self._open:
            return []
        self._open = ""
        return [{"type": "content_block_stop", "index": self._index}]
