"""What a provider says is left of its rate limits: adapters report it, the guard keeps to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["calls", "input_tokens", "output_tokens", "tokens"]
"""What a limit counts. Input that was read from a prompt cache is not counted; `tokens` are input
and output together.
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit: `remaining` of `limit`, all of which is there again `reset_s` seconds after this
    was said, be it little by little or at once.
    """

    unit: Unit
    limit: int
    remaining: int
    reset_s: float


Report = Callable[[tuple[Allowance, ...], float], None]
"""Hears what an answer says is left, and how many seconds ago the call left that it answers."""
