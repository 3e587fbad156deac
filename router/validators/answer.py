"""What a check is given, and what a check is."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice

MAX_CHARS = 1_000_000
"""Longest text that content checks look at; a longer answer fails them."""


@dataclass(frozen=True)
class Answer:
    """One answer beside the client's own request. `tier_max_tokens` is the lowest limit on output
    tokens that Stepwell set, None where it set none.
    """

    request: ChatRequest
    choice: Choice
    tier_max_tokens: int | None = None

    @cached_property
    def text(self) -> str:
        return self.choice.content or ""

    @cached_property
    def raw(self) -> bytes:
        """The text in UTF-8; lone surrogates, which some servers let through, become `?`."""
        return self.text.encode("utf-8", "replace")

    @cached_property
    def has_tool_call(self) -> bool:
        """The answer is a turn that calls a tool the client offered. Its text is no final answer,
        so checks on the form of the text pass it by.
        """
        return bool(self.choice.tool_calls) and bool(self.request.tools)


class Check(Protocol):
    """One compiled check. Reasons name what the request demanded, never what the answer says:
    they go to traces and the ledger.
    """

    @property
    def kind(self) -> str: ...

    @property
    def whole(self) -> bool:
        """The check can only be trusted on a whole answer: a stream is held for it."""
        ...

    def check(self, answer: Answer) -> str | None:
        """Why the answer fails, None where it passes."""
        ...

    def prefix(self, text: str, /) -> str | None:
        """Why every answer that begins with `text` fails, None where one may pass."""
        ...
