"""Turns a backend's chunks into content blocks: text and tool calls follow each other as they
come, thinking goes ahead.
"""

from dataclasses import dataclass
from typing import Any

from serving.hosted.emulator.ids import new_id
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
REFUSED: Event = {
    "type": "refusal",
    "category": "general_harms",
    "explanation": "The emulator was asked to refuse.",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a message says beside its content: its id, its input tokens, the service tier."""

    message_id: str
    plan: CachePlan
    diagnostics: dict[str, Any] | None = None
    tier: str = "standard"

    def message(self, request: MessagesRequest) -> Event:
        usage = {
            **self.input_usage(),
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.plan.write_5m,
                "ephemeral_1h_input_tokens": self.plan.write_1h,
            },
            "output_tokens": min(1, request.max_tokens),
            "service_tier": self.tier,
            "inference_geo": request.inference_geo or "global",
        }
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "diagnostics": self.diagnostics,
            "usage": usage,
        }

    def input_usage(self) -> Event:
        return {
            "input_tokens": self.plan.input_tokens,
            "cache_creation_input_tokens": self.plan.written,
            "cache_read_input_tokens": self.plan.read,
        }


class Writer:
    """The events of one message. `room` is what is left for the answer, in tokens; `done` says
    that nothing more of the backend is wanted.
    """

    def __init__(
        self,
        request: MessagesRequest,
        ability: ModelAbility,
        frame: Frame,
        *,
        thinking: Thinking | None,
        signature: str,
        forced: str | None = None,
    ) -> None:
        self._request, self._ability, self._frame = request, ability, frame
        self._thinking, self._signature = thinking, signature
        self._forced = None if forced is None or _impossible(forced, request) else forced
        self._thought = min(thinking.tokens, request.max_tokens) if thinking else 0
        window = max(0, ability.context - frame.plan.total - self._thought)
        asked = request.max_tokens - self._thought
        self.room = min(asked, window)
        self._short = "model_context_window_exceeded" if window < asked else "max_tokens"
        self._scanner = StopScanner(request.stop_sequences)
        self._index, self._open = -1, ""
        self._emitted: list[str] = []
        self._reported: int | None = None
        self._stop = self._short if not self.room else "end_turn"
        self._sequence: str | None = None
        self._details: Event | None = None
        self._ping = True
        self._single = getattr(request.tool_choice, "disable_parallel_tool_use", False)
        self._tools = 0
        self.done = False

    @property
    def output_tokens(self) -> int:
        """Tokens generated so far: of the answer what the backend reported, where all of it was
        used.
        """
        if self._reported is not None and not self.done:
            return self._thought + self._reported
        return self._thought + text_tokens("".join(self._emitted), self._ability.tokenizer)

    def open(self) -> list[Event]:
        message = self._frame.message(self._request)
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
            self._stop, self._sequence, self.done = "stop_sequence", self._scanner.hit, True
        elif self._forced is not None and self._emitted:
            made += self._force(self._forced)
        return made

    def close(self) -> list[Event]:
        details = None
        if self._stop == "refusal":
            details = self._details or {"type": "refusal", "category": None, "explanation": None}
        delta = {
            "stop_reason": self._stop,
            "stop_sequence": self._sequence,
            "stop_details": details,
        }
        usage = {
            **self._frame.input_usage(),
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"thinking_tokens": self._thought},
        }
        return [
            *self._end_block(),
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]

    def _force(self, reason: str) -> list[Event]:
        """Ends the answer behind its first piece."""
        self._stop, self.done = reason, True
        if reason == "refusal":
            self._details = REFUSED
        if reason == "stop_sequence":
            self._sequence = self._request.stop_sequences[0]
        if reason == "tool_use" and not self._tools:
            return self._tool(ToolCallPart(0, "forced", self._request.tools[0].name, "{}"))
        return []

    def _think(self) -> list[Event]:
        thinking = self._thinking
        if thinking is None or not self._request.max_tokens:
            return []
        made = self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if thinking.text:
            made.append(self._delta("thinking_delta", thinking=thinking.text))
        made.append(self._delta("signature_delta", signature=self._signature))
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
            use = new_id("toolu")
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


def _impossible(reason: str, request: MessagesRequest) -> bool:
    """A stop that the request does not allow for."""
    return (reason == "stop_sequence" and not request.stop_sequences) or (
        reason == "tool_use" and not request.tools
    )
