"""A request as the chain of blocks that is planned over, and a plan as marks on a request."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Any, TypeVar

from cachetools import LRUCache

from cache.prompt.chain import Block, Breakpoint, Ttl
from cache.prompt.pieces import NOWHERE, RESULT_WITH_IMAGE, Piece
from cache.prompt.ratio import TokenRatio
from serving.costs.estimate import (
    TOKENS_PER_IMAGE,
    TOKENS_PER_MESSAGE,
    TOKENS_PER_OTHER_PART,
    TOKENS_PER_TOOL,
    estimate_tokens,
)
from serving.errors import ClientError, TierError
from serving.hosted.models import catalog
from serving.hosted.translate.thinking import plan_thinking
from serving.hosted.translate.tools import tool_choice
from serving.wire.chat import ChatRequest, ContentPart, Message, Tool

T = TypeVar("T", Tool, Message, ContentPart)

RUNS = frozenset({"tool_use", "tool_result"})
KEY_BYTES = 16
KEPT_COUNTS = 20_000
LONG_CHARS = 200
"""From here on looking a text's tokens up is cheaper than estimating them again."""


@dataclass(frozen=True, slots=True)
class PromptChain:
    """`blocks` with what they were made of: `pieces`, and each piece's own digest. Tools and system
    end before the block `shared`. `ends` has the tokens of the prefix up to each block's end,
    `estimated` those of the whole before any correction; `texts` says whether all of it is text.
    `own` are the client's breakpoints.
    """

    blocks: tuple[Block, ...]
    pieces: tuple[Piece, ...]
    digests: tuple[bytes, ...]
    ends: tuple[int, ...]
    shared: int
    estimated: int
    texts: bool
    own: tuple[Breakpoint, ...] = ()

    @property
    def tokens(self) -> int:
        return self.ends[-1] if self.ends else 0


class Chainer:
    """Makes the chains of one model's prompts. Keys are hashes over tenant, model and content: one
    tenant's blocks are never another's. `ratio` corrects the estimated tokens.
    """

    def __init__(self, model: str, ratio: TokenRatio) -> None:
        self._model, self._ratio = model, ratio
        self._counts: LRUCache[bytes, int] = LRUCache(KEPT_COUNTS)

    def __call__(self, tenant: str, request: ChatRequest, pieces: Sequence[Piece]) -> PromptChain:
        """`pieces` are the request's. Not pure: remembers token counts of long texts."""
        key = _digest(f"{tenant}\0{self._model}".encode("utf-8", "surrogatepass"), b"")
        prefix = blake2b(key=key, digest_size=KEY_BYTES)
        shared = next((i for i, p in enumerate(pieces) if p.layer == "messages"), len(pieces))
        blocks: list[Block] = []
        digests: list[bytes] = []
        position, previous, estimated, ratio = 0, "", 0, self._ratio.value
        for i, piece in enumerate(pieces):
            if i == shared:
                prefix.update(b"\0messages\0" + _settings(request, pieces, self._model))
            own = _digest(f"{piece.tag}\0{piece.text}".encode("utf-8", "surrogatepass"), key)
            prefix.update(own)
            position += not (piece.kind in RUNS and piece.kind == previous)
            previous = piece.kind
            tokens = self._tokens(piece, own)
            estimated += tokens
            scaled = max(1, round(tokens * ratio))
            blocks.append(Block(prefix.copy().digest(), scaled, position, piece.markable))
            digests.append(own)
        return PromptChain(
            blocks=tuple(blocks),
            pieces=tuple(pieces),
            digests=tuple(digests),
            ends=tuple(accumulate(block.tokens for block in blocks)),
            shared=shared,
            estimated=estimated,
            texts=all(p.kind not in {"image", "document"} for p in pieces),
            own=client_plan(request, pieces),
        )

    def _tokens(self, piece: Piece, digest: bytes) -> int:
        if piece.kind == "image":
            return TOKENS_PER_IMAGE
        if piece.kind == "document":
            return TOKENS_PER_OTHER_PART
        fixed = TOKENS_PER_TOOL if piece.kind in {"tool", "tool_use"} else TOKENS_PER_MESSAGE
        if len(piece.text) < LONG_CHARS:
            return fixed + estimate_tokens(piece.text)
        found = self._counts.get(digest)
        if found is None:
            found = self._counts[digest] = estimate_tokens(piece.text)
        return fixed + found


def client_plan(request: ChatRequest, pieces: Sequence[Piece]) -> tuple[Breakpoint, ...]:
    """The breakpoints that the client set, the automatic one of the whole request included."""
    found: dict[int, Ttl] = {i: p.own for i, p in enumerate(pieces) if p.own is not None}
    automatic = (request.model_extra or {}).get("cache_control")
    if isinstance(automatic, dict) and automatic.get("type") == "ephemeral":
        last = next((i for i in reversed(range(len(pieces))) if pieces[i].kind != "thinking"), None)
        if last is not None:
            found.setdefault(last, "1h" if automatic.get("ttl") == "1h" else "5m")
    return tuple(Breakpoint(i, found[i]) for i in sorted(found))


def marked(
    request: ChatRequest, chain: PromptChain, breakpoints: Sequence[Breakpoint]
) -> ChatRequest:
    """A copy with `cache_control` at the breakpoints; what has none is shared, not copied."""
    tools = list(request.tools or ())
    messages = list(request.messages)
    for point in breakpoints:
        piece = chain.pieces[point.index]
        control = {"type": "ephemeral", "ttl": point.ttl}
        if piece.tool != NOWHERE:
            tools[piece.tool] = _with(tools[piece.tool], control)
        elif piece.message != NOWHERE:
            messages[piece.message] = _in_message(messages[piece.message], piece.part, control)
    changed: dict[str, Any] = {"messages": messages}
    if request.tools:
        changed["tools"] = tools
    return request.model_copy(update=changed)


def _in_message(message: Message, part: int, control: dict[str, str]) -> Message:
    if part == NOWHERE:
        return _with(message, control)
    assert isinstance(message.content, list)
    parts = [_with(p, control) if i == part else p for i, p in enumerate(message.content)]
    return message.model_copy(update={"content": parts})


def _with(carrier: T, control: dict[str, str]) -> T:
    return carrier.model_copy(update={"cache_control": control})


def _settings(request: ChatRequest, pieces: Sequence[Piece], model: str) -> bytes:
    """What invalidates the messages, but not tools and system, when it changes: as it is sent,
    since some of what clients set makes no difference to a model.
    """
    ability, answer = catalog().ability(model), request.response_format
    choice: object = request.tool_choice
    with suppress(ClientError, TierError):  # the translation says it to the client
        choice = tool_choice(request, ability, defined=bool(pieces) and pieces[0].kind == "tool")
    forced = isinstance(choice, dict) and choice["type"] in {"any", "tool"}
    thinking = plan_thinking(request.reasoning_effort, ability, catalog(), forced_tool=forced)
    schema = answer.json_schema.json_schema if answer and answer.json_schema else None
    images = any(p.kind == "image" or p.tag.startswith(RESULT_WITH_IMAGE) for p in pieces)
    parts = (choice, thinking.thinking, thinking.effort, schema, images)
    return repr(parts).encode("utf-8", "surrogatepass")


def _digest(data: bytes, key: bytes) -> bytes:
    return blake2b(data, key=key, digest_size=KEY_BYTES).digest()
