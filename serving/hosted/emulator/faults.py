"""Faults on request: by the header `x-emulator-fault`, or on a share of all requests."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import cast, get_args

from serving.hosted.emulator.answer import Event
from serving.hosted.emulator.errors import ApiError
from serving.settings.tiers import EmulatorFault

HEADER = "x-emulator-fault"
KINDS: tuple[EmulatorFault, ...] = get_args(EmulatorFault)
SLOW_S = 0.2
HANG_S = 3_600.0
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


async def before(fault: EmulatorFault | None) -> None:
    """What happens instead of an answer, or ahead of it."""
    if fault == "429":
        message = "This request would exceed your organization's rate limit."
        raise ApiError(429, message, headers={"retry-after": "1"})
    if fault == "spend_limit":
        details = {"error_code": "enforced_spend_limit_reached"}
        raise ApiError(429, "Your organization has reached its spend limit.", details=details)
    if fault == "500":
        raise ApiError(500, "Internal server error")
    if fault == "529":
        raise ApiError(529, "Overloaded")
    if fault == "hang":
        await asyncio.sleep(HANG_S)


async def within(
    fault: EmulatorFault | None, events: AsyncIterator[Event]
) -> AsyncGenerator[Event, None]:
    """The events, with what goes wrong among them: a delay before each, an error event after the
    first piece of the answer, or an end without an end.
    """
    pieces = 0
    async for event in events:
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        yield event
        pieces += event["type"] == "content_block_delta"
        if pieces and fault == "overloaded_midstream":
            yield MIDSTREAM
            return
        if pieces and fault == "truncated":
            return
