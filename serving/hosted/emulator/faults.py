"""Faults on request: by the header `x-emulator-fault`, or on a share of all requests."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import cast, get_args

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.writer import Event
from serving.settings.emulator import EmulatorFault

HEADER = "x-emulator-fault"
KINDS: tuple[EmulatorFault, ...] = get_args(EmulatorFault)
SLOW_S = 0.2
HANG_S = 3_600.0
STOPS = frozenset(
    {
        "refusal",
        "pause_turn",
        "max_tokens",
        "model_context_window_exceeded",
        "stop_sequence",
        "tool_use",
    }
)
BREAKING = frozenset({"overloaded_midstream", "truncated", "dropped"})
LIMITED = "This request would exceed your organization's rate limit."
RETRY = {"retry-after": "1"}
MIDSTREAM: Event = {
    "type": "error",
    "error": {"type": "overloaded_error", "message": "Overloaded"},
}


class Faults:
    """Draws faults for requests that name none. `shares` are between 0 and 1, 1 at most together;
    `seed` makes the draws repeatable.
    """

    def __init__(self, shares: Mapping[str, float], seed: int) -> None:
        unknown = shares.keys() - set(KINDS)
        if unknown:
            raise ValueError(f"unknown fault {min(unknown)!r}; known: {', '.join(KINDS)}")
        for kind, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{kind}={share}: a share of faults is between 0 and 1")
        if sum(shares.values()) > 1:
            raise ValueError("the shares of all faults must not exceed 1 together")
        self._shares = dict(shares)
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def draw(self, header: str | None) -> EmulatorFault | None:
        """The fault of one request; an unknown name in the header is a 400."""
        if header:
            if header not in KINDS:
                raise ApiError(400, f"{HEADER}: unknown fault {header!r}")
            return header
        point = self._random.random() if self._shares else 1.0
        for kind, share in self._shares.items():
            point -= share
            if point < 0:
                return cast("EmulatorFault", kind)
        return None


def forced_stop(fault: EmulatorFault | None) -> str | None:
    """The stop reason that a fault of this kind asks for."""
    return fault if fault in STOPS else None


async def before(fault: EmulatorFault | None) -> None:
    """What happens instead of an answer, or ahead of it."""
    if fault == "hang":
        await asyncio.sleep(HANG_S)
    error = _errors().get(fault or "")
    if error is not None:
        raise error


def _errors() -> dict[str, ApiError]:
    spent = {"error_code": "enforced_spend_limit_reached"}
    return {
        "402": ApiError(402, "Your organization's credit balance is too low."),
        "403": ApiError(403, "Your API key does not have permission for this."),
        "404": ApiError(404, "Not found"),
        "429": ApiError(429, LIMITED, headers=RETRY),
        "429_bare": ApiError(429, LIMITED),
        "500": ApiError(500, "Internal server error"),
        "504": ApiError(504, "Request timed out"),
        "529": ApiError(529, "Overloaded"),
        "529_retry_after": ApiError(529, "Overloaded", headers=RETRY),
        "spend_limit": ApiError(
            429, "Your organization has reached its spend limit.", details=spent
        ),
    }


async def within(
    fault: EmulatorFault | None, parts: AsyncIterator[list[Event]]
) -> AsyncGenerator[list[Event], None]:
    """The events, with what goes wrong among them: a delay before each part, an error event after
    the first piece of the answer, or an end without an end.
    """
    async for events in parts:
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        yield events
        if fault in BREAKING and any(e["type"] == "content_block_delta" for e in events):
            if fault == "overloaded_midstream":
                yield [MIDSTREAM]
            return
