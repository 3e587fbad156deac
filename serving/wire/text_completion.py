"""OpenAI's legacy text completions, as chats and back.

Each prompt becomes a chat with one user message. What a chat model cannot do (fill in before a
`suffix`, read token ids, score its prompt) is refused, not ignored.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from serving.wire.chat import Open
from serving.wire.completion import Choice, Chunk, Completion, TokenLogprob, Usage
from serving.wire.render import dumps, finite, render_usage, total_usage
from serving.wire.sse import DONE, event

DEFAULT_MAX_TOKENS = 16  # OpenAI's own default of this endpoint
CHAT_ONLY = ("messages", "tools", "tool_choice", "functions", "function_call")


class TextCompletionRequest(Open):
    """The body of `POST /v1/completions`. Fields that a chat has too are checked as the chat's."""

    model: str
    prompt: str | Annotated[list[str], Field(fail_fast=True, min_length=1)]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = Field(default=None, ge=1)
    logprobs: int | None = Field(default=None, ge=0, le=5)
    n: int | None = Field(default=None, ge=1)

    @field_validator("prompt", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        if isinstance(value, list) and value and isinstance(value[0], int | list):
            raise ValueError("token ids are not supported; send text, or a list of texts")
        return value

    @model_validator(mode="after")
    def _possible(self) -> "TextCompletionRequest":
        if self.suffix:
            raise ValueError("suffix is not supported: the tiers are chat models")
        if self.best_of is not None and self.best_of != self.choices_asked:
            raise ValueError("best_of is not supported unless it equals n; raise n instead")
        if self.echo and self.logprobs is not None:
            raise ValueError("echo with logprobs is not supported: the prompt is not scored")
        for name in CHAT_ONLY:
            if name in (self.model_extra or {}):
                raise ValueError(f"{name} is not a parameter of text completions; use chat")
        return self

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def choices_asked(self) -> int:
        return self.n or 1

    def as_chats(self) -> list[dict[str, Any]]:
        """One chat body per prompt, not yet checked as such."""
        shared: dict[str, Any] = {"model": self.model, **(self.model_extra or {})}
        if self.n is not None:
            shared["n"] = self.n
        if shared.get("max_tokens") is None and shared.get("max_completion_tokens") is None:
            shared["max_tokens"] = DEFAULT_MAX_TOKENS
        if self.logprobs is not None:
            shared |= {"logprobs": True, "top_logprobs": self.logprobs}
        return [{**shared, "messages": [{"role": "user", "content": p}]} for p in self.prompts]


def render_text_completion(
    completions: Sequence[Completion],
    asked: TextCompletionRequest,
    *,
    answer_id: str,
    model: str,
    stepwell: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of the answer; `completions` are in the order of the prompts."""
    choices = [
        _choice(source * asked.choices_asked + choice.index, choice, prompt, asked)
        for source, (completion, prompt) in enumerate(zip(completions, asked.prompts, strict=True))
        for choice in completion.choices
    ]
    return {
        "id": answer_id,
        "object": "text_completion",
        "created": completions[0].created,
        "model": model,
        "choices": choices,
        "usage": render_usage(total_usage(c.usage for c in completions), stepwell),
    }


class TextEvents:
    """`text_completion` events; see `ChatEvents`."""

    def __init__(
        self,
        asked: TextCompletionRequest,
        answer_id: str,
        model: Callable[[Chunk], str],
        *,
        usage: bool = False,
    ) -> None:
        self._asked = asked
        self._id = answer_id
        self._model = model
        self._usage = usage
        self._head: dict[str, Any] = {}
        self._offsets: dict[int, int] = {}

    def piece(self, source: int, chunk: Chunk) -> bytes:
        """The event of a chunk; empty where nothing in it is text's."""
        if not self._head:
            self._head = {
                "id": self._id,
                "object": "text_completion",
                "created": chunk.created,
                "model": self._model(chunk),
            }
        text = (chunk.content or "") + (chunk.refusal or "")
        index = source * self._asked.choices_asked + chunk.index
        offset = self._offsets.get(index)
        if offset is None and self._asked.echo:
            text = self._asked.prompts[source] + text
        self._offsets[index] = (offset or 0) + len(text)
        if not text and chunk.finish_reason is None and not chunk.logprobs:
            return b""
        choice = {
            "index": index,
            "text": text,
            "logprobs": _logprobs(chunk.logprobs, self._asked.logprobs, offset or 0),
            "finish_reason": _finish(chunk.finish_reason),
        }
        return event(self._head | {"choices": [choice]} | self._no_usage)

    def last(self, usage: Usage, figures: Mapping[str, Any], trace: object | None) -> bytes:
        if not self._usage:
            return DONE
        explained = {} if trace is None else {"stepwell": trace}
        body = self._head | {"choices": [], "usage": render_usage(usage, figures)} | explained
        return b"data: " + dumps(body) + b"\n\n" + DONE

    @property
    def _no_usage(self) -> dict[str, None]:
        return {"usage": None} if self._usage else {}


def _choice(
    index: int, choice: Choice, prompt: str, asked: TextCompletionRequest
) -> dict[str, Any]:
    text = (choice.content or "") + (choice.refusal or "")
    return {
        "index": index,
        "text": prompt + text if asked.echo else text,
        "logprobs": _logprobs(choice.logprobs, asked.logprobs, 0),
        "finish_reason": _finish(choice.finish_reason),
    }


def _finish(reason: str | None) -> str | None:
    """Text completions know three reasons; a call of a tool that nobody offered is none of them."""
    return "stop" if reason in {"tool_calls", "function_call"} else reason


def _logprobs(
    tokens: tuple[TokenLogprob, ...] | None, top: int | None, offset: int
) -> dict[str, Any] | None:
    """The legacy shape. `offset` is where the first token begins in the text, in characters."""
    if tokens is None or top is None:
        return None
    offsets: list[int] = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [t.token for t in tokens],
        "token_logprobs": [finite(t.logprob) for t in tokens],
        "top_logprobs": [{a.token: finite(a.logprob) for a in t.top[:top]} for t in tokens],
        "text_offset": offsets,
    }
