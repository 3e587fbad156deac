"""The narrow waist: one protocol that engines implement and behaviour wraps.

A wrapper takes a Backend first and is one. `build` in `deploy/build.py` stacks them.
"""

import os
import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal, Protocol

from serving.batches import Journal
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion, Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings
from serving.wire.pickling import by_values
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest

_random = random.Random()  # noqa: S311 - ids are unique, not secret
os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """128 random bits in hex, seeded by the system once per process."""
    return f"{_random.getrandbits(128):032x}"


ChunkStream = AsyncGenerator[Chunk, None]


class Backend(Protocol):
    """Answers requests. Raises `TierError` when a tier fails, `ClientError` when the request is at
    fault. Cancelling the task or closing the stream stops the generation everywhere.
    """

    async def complete(self, request: ChatRequest, call: "Call") -> Completion: ...

    def stream(self, request: ChatRequest, call: "Call") -> ChunkStream:
        """Chunks as `Chunk` describes; close it (`aclosing`) when it is not read to its end."""
        ...


class Embedder(Protocol):
    """Makes vectors of texts; beside `Backend`, with its errors and its cancellation."""

    async def embed(self, request: EmbeddingRequest, call: "Call") -> Embeddings: ...


class Tokenizer(Protocol):
    """Tells a model's tokens, with `Backend`'s errors. Nothing is billed for it."""

    async def tokenize(self, request: TokenizeRequest, call: "Call") -> Tokenized: ...

    async def detokenize(self, request: DetokenizeRequest, call: "Call") -> str: ...


@dataclass(frozen=True, slots=True)
class Ability:
    """What a tier can honour; data of the tier's model, not branches in its adapter. `params` are
    the request parameters that reach it beyond `model`, `messages`, `stream` and `stepwell`; None
    passes all, unknown ones included. A param that it lacks is dropped and named, or refused where
    the config says so. Tools, images and several choices cannot be dropped without changing what
    was asked, so a tier that lacks them is not eligible for such a request.
    """

    params: frozenset[str] | None = None
    tools: bool = True
    forced_tool_choice: bool = True
    images: bool = False
    json_schema: bool = True
    logprobs: bool = False
    multiple_choices: bool = False
    context_tokens: int = 32_768


Kind = Literal["attempt", "cache_hit", "spot_check", "cache_check", "embedding"]
CallKind = Literal["attempt", "spot_check", "cache_check"]
"""Who asks: a client, or a check of a tier's or of the cache's answers."""

OWN_TENANT = "stepwell"
"""Of calls that no client asked for; a tenant of that name has keys."""

Service = Literal["live", "batch", "flex"]
"""At which rates a tier answers: at once, in a provider's batch, or when it has room."""

Urgency = Literal["interactive", "offline"]
Outcome = Literal["open", "accepted", "best_effort", "escalated", "failed", "cancelled", "compared"]
CacheState = Literal["off", "miss", "exact", "semantic"]


@by_values
@dataclass(frozen=True, slots=True)
class Decision:
    """One step of the route trace: what was decided where, and why. `at_ms` since the request's
    arrival.
    """

    stage: str
    decision: str
    reason: str
    at_ms: float


@dataclass(slots=True)
class Attempt:
    """One thing that may cost money: an attempt at a tier, a cache hit, a check or a call of an
    embedder. `Metered` fills in what it cost, whoever asked for it judges it; `sink` then hands
    it to the ledger. Costs are USD, None where the price is unknown. Beside what it cost stand what
    the same tokens would have cost live: `list_cost_usd` with all input at the plain rate,
    `live_cost_usd` with the input that the provider's cache took part in at its rates.
    `above_cost_usd`: at list price of the tier above, which a request in a hurry would have gone to
    instead of waiting; None where it did not have to.
    """

    id: str
    kind: Kind
    tier: str
    model: str
    started_at: float
    simulated: bool = False
    service: Service = "live"
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    list_cost_usd: Decimal | None = None
    live_cost_usd: Decimal | None = None
    above_cost_usd: Decimal | None = None
    baseline_cost_usd: Decimal | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    error: str | None = None
    outcome: Outcome = "open"
    reason: str = ""
    sink: Callable[["Attempt"], None] | None = field(default=None, repr=False)

    def judge(self, outcome: Outcome, reason: str) -> None:
        """The last word on this attempt; an attempt is judged once, later words are ignored."""
        if self.outcome != "open":
            return
        self.outcome, self.reason = outcome, reason
        if self.sink is not None:
            self.sink(self)


@dataclass(slots=True)
class Trace:
    """What happened to one request, in order. The API renders it; nothing is decided from it.
    `conversation` is a digest of the prompt, where the request may be a turn of a conversation.
    `outwaited`: tiers whose turn it waited for longer than a request in a hurry may.
    """

    started: float = field(default_factory=time.monotonic)
    decisions: list[Decision] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    tier: str | None = None
    cache: CacheState = "off"
    conversation: str | None = None
    best_effort: str | None = None
    degraded: str | None = None
    outwaited: set[str] = field(default_factory=set)

    def note(self, stage: str, decision: str, reason: str) -> None:
        at_ms = (time.monotonic() - self.started) * 1_000
        self.decisions.append(Decision(stage, decision, reason, round(at_ms, 3)))

    def drop(self, params: tuple[str, ...]) -> None:
        self.dropped += [p for p in params if p not in self.dropped]

    @property
    def escalations(self) -> int:
        """Climbs to another tier, so distinct tiers that were attempted less one."""
        return max(0, len({a.tier for a in self.attempts if a.kind == "attempt"}) - 1)

    @property
    def cost_usd(self) -> Decimal | None:
        """Cost of all attempts; None where one of them has no known price."""
        costs = [a.cost_usd for a in self.attempts]
        return None if None in costs else sum((c for c in costs if c is not None), Decimal(0))

    @property
    def baseline_cost_usd(self) -> Decimal | None:
        """What the baseline tier would have cost for the answer that was returned. An embedding
        that helped to find it is no part of that.
        """
        answers = [a for a in self.attempts if a.kind != "embedding"] or self.attempts
        return next((a.baseline_cost_usd for a in answers if a.baseline_cost_usd is not None), None)


@dataclass(frozen=True, slots=True)
class Embedding:
    """`vector` of a text: float32, little endian, of length 1; by the embedder of that name."""

    text: str
    vector: bytes
    embedder: str


@dataclass(slots=True)
class Computed:
    """What one layer has computed of a request, and another need not compute again: the vector of
    its last question, None where nobody asked for it yet.
    """

    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, for what, until when. `deadline` is in `time.monotonic()` seconds. `task` is the
    class that the classifier chose (a tag on the way in). `max_tier` is the highest tier that the
    key or the request allows. What is `offline` waits for what somebody waits for. `journal` is
    None where the answer is waited for.
    """

    request_id: str
    tenant: str
    deadline: float
    key_id: str | None = None
    feature: str | None = None
    task: str | None = None
    session: str | None = None
    step: str | None = None
    max_tier: str | None = None
    kind: CallKind = "attempt"
    urgency: Urgency = "interactive"
    service: Service = "live"
    trace: Trace = field(default_factory=Trace)
    computed: Computed = field(default_factory=Computed)
    journal: Journal | None = None

    def aside(
        self,
        kind: CallKind,
        *,
        deadline: float,
        urgency: Urgency = "offline",
        max_tier: str | None = None,
    ) -> "Call":
        """For a check of this request: with a trace of its own, since it is no part of what the
        client asked.
        """
        return replace(
            self,
            kind=kind,
            deadline=deadline,
            urgency=urgency,
            service="live",
            max_tier=max_tier,
            trace=Trace(),
            computed=Computed(),
            journal=None,
        )

    @property
    def paid(self) -> bool:
        """It goes on with what is here already, and is paid for: no other answer is looked for."""
        return self.journal is not None and self.journal.paid

    @property
    def of_stepwell(self) -> bool:
        """Nobody's request: something that Stepwell needs for itself."""
        return self.key_id is None and self.tenant == OWN_TENANT

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, negative once past it."""
        return self.deadline - time.monotonic()
