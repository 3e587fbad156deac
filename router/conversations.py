"""What this gateway knows of conversations: learned from the attempts that it judges, and read from
the ledger where another gateway served them.

Knowledge is a help, never a condition: what is not known in time is not waited for.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from cachetools import TTLCache

from router.identity import Identity, identify
from router.known import NOTHING, Known, Past, learn, learned
from serving.backend import Attempt, Call
from serving.costs.estimate import estimate_message_tokens
from serving.costs.past import PastTurns, past_attempt
from serving.settings.conversations import ConversationSettings
from serving.storage.types import EPOCH
from serving.wire.chat import ChatRequest

MAX_READS = 32
"""Reads of the ledger at once; a database that hangs is not asked by every request."""

UNKNOWN_S = 60.0
"""For so long, a turn that the ledger does not know is not asked for again: prompts with examples
look like conversations, and all begin alike.
"""

UNKNOWN = "nothing is known of its earlier turns"

_log = structlog.get_logger(__name__)


class TurnReader(Protocol):
    """`serving.costs.past.past_turns` on some database."""

    async def __call__(
        self, turns: Sequence[str], *, tenant: str, session: str | None, since: datetime
    ) -> PastTurns: ...


@dataclass(frozen=True, slots=True)
class Recalled:
    """`past` is None where nothing is known; then `missing` says why, empty in a first turn."""

    past: Past | None = None
    missing: str = ""


FIRST_TURN = Recalled()


class Conversations:
    """Belongs to one event loop. `observe` is an observer of the ledger."""

    def __init__(
        self,
        settings: ConversationSettings,
        *,
        read: TurnReader,
        key: bytes,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` tells Unix seconds, which other gateways' clocks must agree with to a few; `key`
        is that of all digests (`identity.key_of`).
        """
        self._settings = settings
        self._read = read
        self._key = key
        self._clock = clock
        size, ttl = settings.max_turns, settings.ttl_s
        # Most requests have one turn only; they must not push conversations out.
        self._first_turns: TTLCache[str, Known] = TTLCache(size, ttl, timer)
        self._turns: TTLCache[str, Known] = TTLCache(size, ttl, timer)
        self._sessions: TTLCache[tuple[str, str], Known] = TTLCache(size, ttl, timer)
        # By turn, what was known when it was asked: what its attempts add to.
        self._before: TTLCache[str, Known] = TTLCache(size, ttl, timer)
        self._unknown: TTLCache[str, bool] = TTLCache(size, min(ttl, UNKNOWN_S), timer)
        self._reads: dict[str, asyncio.Task[Known | None]] = {}
        self._failing = False

    async def recall(self, request: ChatRequest, call: Call) -> Recalled:
        """What is known of the turns before this one. Only where the latest of them is not known
        here, the ledger is asked, for a moment; a first turn asks nobody. The call's trace says
        which turn it is.
        """
        identity = identify(request.messages, tenant=call.tenant, key=self._key)
        call.trace.conversation = identity.here
        if identity.first_turn:
            return FIRST_TURN
        known, missing = self._here(identity.before[-1]), UNKNOWN
        if known is None:
            known, missing = await self._from_ledger(identity, call)
        if known is None:
            known = self._older(identity, call)
        self._before[identity.here] = known or NOTHING
        if known is None:
            return Recalled(missing=missing)
        new = estimate_message_tokens(request.messages[identity.answered :])
        return Recalled(Past(known, self._clock(), new))

    def observe(self, attempt: Attempt, call: Call) -> None:
        """Learns from an attempt whose figures are complete."""
        here = call.trace.conversation
        past = None if here is None else past_attempt(attempt, call.request_id)
        if here is None or past is None:
            return
        before = self._before.get(here)
        store = self._first_turns if before is None else self._turns
        known = store.get(here)
        if known is None or known.last is None or known.last.request_id != past.request_id:
            known = before or NOTHING  # of a prompt that is sent again, the latest request counts
        store[here] = learn(known, past)
        if call.session is not None:
            session = (call.tenant, call.session)
            self._sessions[session] = learn(self._sessions.get(session) or NOTHING, past)

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        reads = tuple(self._reads.values())
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    def _here(self, turn: str) -> Known | None:
        return self._turns.get(turn) or self._first_turns.get(turn)

    def _older(self, identity: Identity, call: Call) -> Known | None:
        """What an earlier turn or the session says where the latest turn is not known. Of a session
        the tiers count, not what is warm: its prompts need not begin alike.
        """
        for turn in reversed(identity.before[:-1]):
            if (known := self._here(turn)) is not None:
                return known
        if call.session is None:
            return None
        session = self._sessions.get((call.tenant, call.session))
        return None if session is None else session.cold()

    async def _from_ledger(self, identity: Identity, call: Call) -> tuple[Known | None, str]:
        """What the ledger knows; else why nothing."""
        if identity.before[-1] in self._unknown:
            return None, UNKNOWN
        wait_s = min(self._settings.lookup_s, max(0.0, call.remaining))
        read = self._reads.get(identity.here)
        if read is None:
            if len(self._reads) >= MAX_READS:
                return None, "too many questions to the ledger are open"
            read = asyncio.create_task(self._ask(identity, call), name="conversation")
            self._reads[identity.here] = read
            read.add_done_callback(lambda _task: self._reads.pop(identity.here, None))
        # It goes on past the wait: a statement that is cancelled would cost its connection.
        done, _ = await asyncio.wait({read}, timeout=wait_s)
        if not done or read.cancelled():
            return None, f"the ledger did not answer in {wait_s * 1_000:.0f} ms"
        return read.result(), UNKNOWN

    async def _ask(self, identity: Identity, call: Call) -> Known | None:
        since = EPOCH + timedelta(seconds=self._clock() - self._settings.ttl_s)
        try:
            found = await self._read(
                identity.before, tenant=call.tenant, session=call.session, since=since
            )
        except Exception as error:
            if not self._failing:  # one line per outage
                _log.warning("conversation_lookup_failed", error=type(error).__name__)
            self._failing = True
            return None
        self._failing = False
        if found.turns:
            known = learned(found.turns)
            # An answer that comes too late for this turn is there for the next.
            self._before[identity.here] = known
            return known
        self._unknown[identity.before[-1]] = True
        return learned(found.session).cold() if found.session else None
