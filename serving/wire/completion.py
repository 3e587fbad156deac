"""What a backend returns: completions and chunks, free of any SDK's types.

Plain frozen dataclasses, cheap to make and to pickle. `serving/wire/render.py` turns them into
OpenAI's JSON.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from serving.wire.pickling import by_values

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


@by_values
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt. `prompt_tokens` counts all input, cached and cache-written tokens
    included; `completion_tokens` all output, reasoning included. `cache_write_tokens` counts all
    cache writes, `cache_write_1h_tokens` those of them that live an hour. `estimated`: not
    reported by the tier but estimated by us (an aborted stream), an upper bound where it is billed.
    `cache_miss_reason`: why the tier's prompt cache was not read, in the tier's own word.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cache_miss_reason: str | None = None

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@by_values
@dataclass(frozen=True, slots=True)
class TopLogprob:
    token: str
    logprob: float


@by_values
@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural log of the probability of a token that was generated, with alternatives if asked."""

    token: str
    logprob: float
    top: tuple[TopLogprob, ...] = ()


@by_values
@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A tool call, or in a chunk a piece of one: the piece with an `id` opens the call at `index`,
    later pieces append to its `arguments` (JSON text).
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@by_values
@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. `logprobs` is None where the tier gives none. `provider_content` holds the
    provider's own blocks, to be sent back unchanged (see `Message.provider_content`).
    """

    index: int = 0
    content: str | None = None
    tool_calls: tuple[ToolCallPart, ...] = ()
    finish_reason: FinishReason = "stop"
    refusal: str | None = None
    reasoning: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    provider_content: dict[str, Any] | None = None


@by_values
@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. `model` is the name the tier's server gave; `created` is Unix seconds."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    system_fingerprint: str | None = None

    @property
    def first(self) -> Choice:
        return self.choices[0]


@by_values
@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer to one choice. A stream opens each choice with a chunk that has
    `role`, ends each with one that has `finish_reason`, and then yields exactly one chunk with
    `usage` and nothing else, whether or not the client asked for it.
    """

    id: str
    created: int
    model: str
    index: int = 0
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: tuple[ToolCallPart, ...] = ()
    refusal: str | None = None
    reasoning: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    finish_reason: FinishReason | None = None
    provider_content: dict[str, Any] | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class _Growing:
    """A choice whose pieces arrive. They are joined once: a text, or a tuple, that grows by each
    would be copied each time.
    """

    content: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, list[ToolCallPart]] = field(default_factory=dict)
    logprobs: list[TokenLogprob] | None = None
    finish_reason: FinishReason = "stop"
    provider_content: dict[str, Any] | None = None

    def add(self, chunk: Chunk) -> None:
        if chunk.content is not None:
            self.content.append(chunk.content)
        if chunk.refusal is not None:
            self.refusal.append(chunk.refusal)
        if chunk.reasoning is not None:
            self.reasoning.append(chunk.reasoning)
        for piece in chunk.tool_calls:
            self.calls.setdefault(piece.index, []).append(piece)
        if chunk.logprobs is not None:
            self.logprobs = self.logprobs or []
            self.logprobs += chunk.logprobs
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.provider_content = chunk.provider_content or self.provider_content

    def choice(self, index: int) -> Choice:
        return Choice(
            index=index,
            content=_joined(self.content),
            tool_calls=tuple(_call(self.calls[at]) for at in sorted(self.calls)),
            finish_reason=self.finish_reason,
            refusal=_joined(self.refusal),
            reasoning=_joined(self.reasoning),
            logprobs=None if self.logprobs is None else tuple(self.logprobs),
            provider_content=self.provider_content,
        )


class Assembler:
    """Puts a stream's chunks together into the completion they amount to."""

    def __init__(self) -> None:
        self._head: Chunk | None = None
        self._choices: dict[int, _Growing] = {}
        self._finished: set[int] = set()
        self.usage: Usage | None = None

    def add(self, chunk: Chunk) -> None:
        self._head = self._head or chunk
        if chunk.usage is not None:
            self.usage = chunk.usage
            return
        choice = self._choices.get(chunk.index)
        if choice is None:
            choice = self._choices[chunk.index] = _Growing()
        choice.add(chunk)
        if chunk.finish_reason is not None:
            self._finished.add(chunk.index)

    @property
    def finished(self) -> bool:
        """Every choice that began has ended, and at least one has."""
        return bool(self._finished) and self._finished == set(self._choices)

    def completion(self) -> Completion:
        """The answer so far; `ValueError` before the first chunk."""
        if self._head is None:
            raise ValueError("no chunk has arrived")
        head = self._head
        choices = tuple(self._choices[i].choice(i) for i in sorted(self._choices))
        usage = self.usage or Usage(estimated=True)
        return Completion(head.id, head.created, head.model, choices, usage)


def _joined(pieces: list[str]) -> str | None:
    """None where none came."""
    return "".join(pieces) if pieces else None


def _call(pieces: list[ToolCallPart]) -> ToolCallPart:
    return ToolCallPart(
        index=pieces[0].index,
        id=next((p.id for p in pieces if p.id), pieces[-1].id),
        name=next((p.name for p in pieces if p.name), pieces[-1].name),
        arguments="".join(p.arguments for p in pieces),
    )


def as_chunks(completion: Completion, *, pieces: int = 1) -> list[Chunk]:
    """The stream that amounts to `completion`, each choice's text in up to `pieces` chunks."""
    head = Chunk(completion.id, completion.created, completion.model)
    chunks: list[Chunk] = []
    for c in completion.choices:
        at = replace(head, index=c.index)
        chunks.append(replace(at, role="assistant", content=""))
        chunks += [replace(at, content=text) for text in _split(c.content, pieces)]
        if c.refusal or c.reasoning or c.tool_calls or c.logprobs is not None:
            rest = replace(at, refusal=c.refusal, reasoning=c.reasoning, logprobs=c.logprobs)
            chunks.append(replace(rest, tool_calls=c.tool_calls))
        end = replace(at, finish_reason=c.finish_reason, provider_content=c.provider_content)
        chunks.append(end)
    chunks.append(replace(head, usage=completion.usage))
    return chunks


def _split(text: str | None, pieces: int) -> list[str]:
    if not text:
        return []
    size = max(1, -(-len(text) // pieces))
    return [text[i : i + size] for i in range(0, len(text), size)]
