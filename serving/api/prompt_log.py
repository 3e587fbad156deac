"""Prompts and answers in the log, where the configuration asks for them."""

from collections.abc import Sequence

import structlog

from serving.settings.root import LogSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Assembler, Choice, Chunk, Completion
from serving.wire.embeddings import Inputs


class PromptLog:
    """Writes nothing and keeps nothing unless `settings.prompts` is set."""

    def __init__(self, settings: LogSettings, request_id: str) -> None:
        self._on = settings.prompts
        self._request_id = request_id
        self._answers: dict[int, Assembler] = {}

    def asked(self, requests: Sequence[ChatRequest]) -> None:
        if self._on:
            self._write("prompt", prompts=[request.wire() for request in requests])

    def embedded(self, inputs: Inputs) -> None:
        """Texts as they are, token arrays as their lengths."""
        if self._on:
            told = [i if isinstance(i, str) else len(i) for i in inputs]
            self._write("prompt", inputs=told)

    def answered(self, completions: Sequence[Completion]) -> None:
        if self._on:
            answers = [_told(choice) for c in completions for choice in c.choices]
            self._write("answer", answers=answers)

    def add(self, source: int, chunk: Chunk) -> None:
        """A piece of the `source`-th answer; `end` writes them."""
        if self._on:
            self._answers.setdefault(source, Assembler()).add(chunk)

    def end(self) -> None:
        self.answered([self._answers[s].completion() for s in sorted(self._answers)])

    def _write(self, event: str, **values: object) -> None:
        structlog.get_logger("stepwell.prompts").info(event, request_id=self._request_id, **values)


def _told(choice: Choice) -> dict[str, object]:
    told: dict[str, object] = {"content": choice.content, "finish_reason": choice.finish_reason}
    if choice.tool_calls:
        told["tool_calls"] = [[c.name, c.arguments] for c in choice.tool_calls]
    if choice.refusal is not None:
        told["refusal"] = choice.refusal
    return told
