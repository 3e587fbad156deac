"""A plan: which tiers may answer a request, in which order, by when and under which gate.

Plain values. A request that was parked is planned anew, as the configuration and its key say then.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from router.known import Past
from serving.backend import Call
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import GateSettings
from serving.wire.chat import ChatRequest

Patience = Literal["none", "climb", "stay"]
"""`none`: it waits for a tier's turn within that tier's deadline, and climbs then. `climb`: it
waits as long as time is left for the tier above. `stay`: it waits to its own deadline, and load
never makes it climb.
"""


@dataclass(frozen=True, slots=True)
class PlannedTier:
    """One tier of a plan. `rank` is its place among all tiers, cheapest first; `deadline_s` bounds
    each attempt; `retries` is for transport faults. `gate` is None where answers are judged by
    validators only, and `gate_reason` says why.
    """

    tier: str
    rank: int
    deadline_s: float
    retries: int
    gate: GateSettings | None
    gate_reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    tier: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConversationNote:
    """Whether a conversation stays at its tier, for the trace: `stay: TIER` or
    `switch: TIER -> TIER`.
    """

    decision: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`climb` is asked in order, from the start tier up. `fallbacks` stand below the start tier,
    most able first, for when the whole climb is down. `gated` says whether the task is gated at
    all. `measure_only` accepts whatever comes (`mode: observe`). `deadline` is in seconds of the
    clock that the driver passes to the cascade. `conversation` is None where the request goes on
    with none that is known. `patience` says what a request does that waits for its turn at a
    tier.
    """

    climb: tuple[PlannedTier, ...]
    reason: str
    deadline: float
    fallbacks: tuple[PlannedTier, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    gated: bool = True
    measure_only: bool = False
    conversation: ConversationNote | None = None
    patience: Patience = "none"

    @property
    def start(self) -> str:
        return self.climb[0].tier

    def has(self, tier: str) -> bool:
        return any(planned.tier == tier for planned in (*self.climb, *self.fallbacks))

    def planned(self, tier: str) -> PlannedTier:
        """`KeyError` where the plan has no such tier."""
        for planned in (*self.climb, *self.fallbacks):
            if planned.tier == tier:
                return planned
        raise KeyError(tier)


class Planning(Protocol):
    def plan(
        self, request: ChatRequest, call: Call, task: TaskSettings, past: Past | None = None
    ) -> Plan:
        """`past` is what is known of the conversation that the request goes on with."""
        ...
