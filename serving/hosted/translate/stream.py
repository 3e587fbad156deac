"""Anthropic's stream events as our chunks."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from serving.errors import TierProtocolError
from serving.hosted.translate.arguments import arguments_text
from serving.hosted.translate.response import finish_reason, provider_content, refusal_text
from serving.hosted.translate.usage import merged, to_usage
from serving.wire.completion import Chunk, ToolCallPart


class StreamTranslator:
    """Takes the events of one stream in their order. `feed` returns the chunks that an event
    amounts to; `finish` the last ones, once the stream has ended.
    """

    def __init__(self, created: int) -> None:
        self._head = Chunk("", created, "")
        self._blocks: dict[int, dict[str, Any]] = {}
        self._json: dict[int, str] = {}
        self._calls: dict[int, int] = {}
        self._usage: dict[str, Any] = {}
        self._diagnostics: Mapping[str, Any] | None = None
        self._delta: Mapping[str, Any] = {}

    def feed(self, event: Mapping[str, Any]) -> list[Chunk]:
        """`TierProtocolError` where an event does not fit what came before. Unknown kinds of
        events and deltas are passed over, as the API asks of its clients.
        """
        handler = _HANDLERS.get(str(event.get("type")))
        if handler is None:
            return []
        if not self._head.id and event.get("type") != "message_start":
            raise TierProtocolError(f"the stream began with {event.get('type')!r}")
        try:
            return handler(self, event)
        except (KeyError, TypeError, AttributeError) as error:
            raise TierProtocolError(f"broken {event.get('type')} event: {error!r}") from None

    def finish(self) -> list[Chunk]:
        """`TierProtocolError` where the stream broke off before the message had ended."""
        stop = self._delta.get("stop_reason")
        if stop is None:
            raise TierProtocolError("the stream broke off before its end")
        blocks = [self._blocks[i] for i in sorted(self._blocks)]
        end = replace(
            self._head,
            finish_reason=finish_reason(stop),
            provider_content=provider_content(blocks, self._head.model),
        )
        if stop == "refusal":
            end = replace(end, refusal=refusal_text(self._delta.get("stop_details")))
        return [end, replace(self._head, usage=to_usage(self._usage, self._diagnostics))]

    def _message_start(self, event: Mapping[str, Any]) -> list[Chunk]:
        message = event["message"]
        self._head = replace(self._head, id=str(message["id"]), model=str(message["model"]))
        self._usage = dict(message["usage"])
        self._diagnostics = message.get("diagnostics")
        return [replace(self._head, role="assistant", content="")]

    def _block_start(self, event: Mapping[str, Any]) -> list[Chunk]:
        index, block = event["index"], dict(event["content_block"])
        self._blocks[index] = block
        if block["type"] == "text" and block.get("text"):
            return [replace(self._head, content=block["text"])]
        if block["type"] == "thinking" and block.get("thinking"):
            return [replace(self._head, reasoning=block["thinking"])]
        if block["type"] != "tool_use":
            return []
        call = self._calls[index] = len(self._calls)
        self._json[index] = arguments_text(block["input"]) if block.get("input") else ""
        part = ToolCallPart(call, block["id"], block["name"], self._json[index])
        return [replace(self._head, tool_calls=(part,))]

    def _block_delta(self, event: Mapping[str, Any]) -> list[Chunk]:
        index, delta = event["index"], event["delta"]
        block, kind = self._blocks[index], delta["type"]
        if kind == "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
            return [replace(self._head, content=delta["text"])]
        if kind == "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
            return [replace(self._head, reasoning=delta["thinking"])]
        if kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        elif kind == "input_json_delta" and index in self._calls and delta["partial_json"]:
            self._json[index] += delta["partial_json"]
            part = ToolCallPart(self._calls[index], arguments=delta["partial_json"])
            return [replace(self._head, tool_calls=(part,))]
        return []

    def _block_stop(self, event: Mapping[str, Any]) -> list[Chunk]:
        index = event["index"]
        if index not in self._calls:
            return []
        text = self._json[index]
        try:
            self._blocks[index]["input"] = json.loads(text or "{}")
        except (ValueError, RecursionError):  # cut off by max_tokens; the text has been passed on
            self._blocks[index]["input"] = {}
        if text:
            return []
        part = ToolCallPart(self._calls[index], arguments="{}")
        return [replace(self._head, tool_calls=(part,))]

    def _message_delta(self, event: Mapping[str, Any]) -> list[Chunk]:
        self._delta = event["delta"]
        self._usage = merged(self._usage, event.get("usage") or {})
        return []


_HANDLERS = {
    "message_start": StreamTranslator._message_start,
    "content_block_start": StreamTranslator._block_start,
    "content_block_delta": StreamTranslator._block_delta,
    "content_block_stop": StreamTranslator._block_stop,
    "message_delta": StreamTranslator._message_delta,
}
