"""A call on its way through the planner, and what the planner is given."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cache.prompt.blocks import PromptChain
from cache.prompt.chain import Block, Plan
from cache.prompt.entries import Standing
from cache.prompt.sent import Earlier, Sent
from cache.prompt.verify import Expected
from serving.backend import Call
from serving.wire.chat import ChatRequest


class Policy(Protocol):
    """Chooses breakpoints from what it has observed of earlier calls; `policy.PrefixPolicy` is one.
    Times in seconds; a scope learns from its own calls.
    """

    def plan(self, chain: Sequence[Block], now: float, *, scope: str = "") -> Plan: ...

    def observe(
        self, chain: Sequence[Block], plan: Plan, now: float, *, scope: str = ""
    ) -> None: ...

    def correct(self, chain: Sequence[Block], read_tokens: int) -> None:
        """No more than this was read: nothing beyond it is stored."""
        ...


@dataclass(frozen=True, slots=True)
class Model:
    """The model of the tier: `minimum` tokens of a prefix that it stores, what its tokenizer makes
    of a token (`tokenizer`), and whether it takes system messages in a conversation.
    """

    name: str
    minimum: int
    tokenizer: float
    mid_system: bool


@dataclass(frozen=True, slots=True)
class Read:
    """A call whose request was read: in the form in which it leaves, as a chain, and what came
    before it in its feature. `moved`: its system prompt ends with what was moved there.
    """

    call: Call
    feature: str
    request: ChatRequest
    chain: PromptChain
    earlier: Earlier = field(default_factory=Earlier)
    moved: bool = False

    @property
    def scope(self) -> str:
        return f"{self.call.tenant}\0{self.feature}"


@dataclass(frozen=True, slots=True)
class Decided:
    """The plan at one moment. `cold`: keys of prefixes that it would write and that are worth
    waiting for; `wanted`: keys of longer ones than stand stored, which another call may be writing,
    longest first.
    """

    plan: Plan
    standing: Standing
    cold: tuple[bytes, ...] = ()
    wanted: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Departed:
    """A call on its way, with the request to send."""

    read: Read
    request: ChatRequest
    expected: Expected
    sent: Sent
    at: float
