"""The rules of the hosted half, as pure functions; `docs/batches.md` has them as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from statistics import fmean
from typing import Literal

from serving.batch.hosted.values import Alike, CheaperLive, ParkedRow, Pays, Purpose
from serving.batches import BatchLimits, LineState, parts
from serving.errors import StepwellError, TierRateLimited, TierTimeout, TierUnavailable
from serving.settings.batch import BatchSettings

Next = Literal["resume", "again", "live"]
"""What follows for a line: it goes on with its result; it is sent again; it is answered live."""


def may_park(left_s: float, settings: BatchSettings) -> bool:
    """Whether a line whose batch ends in `left_s` may wait for one more hosted batch."""
    return left_s >= settings.hosted_s + settings.live_s


def promoted_below(settings: BatchSettings, *, sent: bool) -> timedelta:
    """A parked line is promoted to a live call once its batch has less time left than this: one
    that has been sent when there is only the time for the live call, one that has not when half
    the time is gone that a hosted batch is given.
    """
    return timedelta(seconds=settings.live_s + (0.0 if sent else settings.hosted_s / 2))


def after_result(
    state: LineState | None,
    error: StepwellError | None,
    *,
    tries: int,
    left_s: float,
    settings: BatchSettings,
) -> Next:
    """`state` is None where the hosted batch has no result of the line. `tries`: hosted batches
    that it was in, this one included.
    """
    if state == "succeeded":
        return "resume"
    again = tries < settings.hosted_tries and may_park(left_s, settings)
    if state == "errored":
        passing = isinstance(error, TierUnavailable | TierRateLimited | TierTimeout)
        return "again" if passing and again else "resume"
    return "again" if again else "live"


def pause(tries: int, *, first_s: float, most_s: float) -> timedelta:
    """Twice as long each time."""
    return timedelta(seconds=min(first_s * 2.0 ** min(tries, 30), most_s))


@dataclass(frozen=True, slots=True)
class Sending:
    """A hosted batch to be: its rows, and which of them carry their breakpoint (by `custom_id`).
    `waiting` are those that are sent once it has ended.
    """

    purpose: Purpose
    rows: tuple[ParkedRow, ...]
    marked: frozenset[str] = frozenset()
    waiting: tuple[ParkedRow, ...] = ()


@dataclass(slots=True)
class _Draft:
    writers: list[ParkedRow] = field(default_factory=list)
    waiting: list[ParkedRow] = field(default_factory=list)
    rows: list[ParkedRow] = field(default_factory=list)
    marked: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Arranged:
    """`joins`: rows that wait for a hosted batch that is under way and writes their prefix.
    `live`: those that cost less without a batch.
    """

    sendings: tuple[Sending, ...]
    joins: tuple[tuple[ParkedRow, str], ...]
    live: tuple[ParkedRow, ...] = ()


def arrange(
    rows: Sequence[ParkedRow],
    *,
    pays: Pays | None,
    limits: BatchLimits,
    rounds_fit: bool,
    writing: Mapping[str, str],
    cheaper_live: CheaperLive | None = None,
) -> Arranged:
    """Hosted batches for parked lines of one tenant and tier, which are in the order of their
    prefixes. Where a prefix is shared by so many that storing it pays, one request writes it first
    and the others wait, if the time is enough for two rounds (`rounds_fit`). `writing`: prefixes
    that a hosted batch under way writes, with its id.
    """
    draft, joins, live = _Draft(), [], []
    for prefix, run in groupby(rows, key=lambda row: row.prefix):
        same = list(run)
        cold = [row for row in same if not row.warm]
        draft.rows += [row for row in same if row.warm]
        draft.marked |= {row.custom_id for row in same if row.warm}
        tokens = max((row.prefix_tokens for row in cold), default=0)
        shared = pays is not None and tokens > 0 and pays(len(same), tokens)
        if prefix in writing and rounds_fit:
            joins += [(row, writing[prefix]) for row in cold]
        elif len(cold) == len(same) and _cheaper_live(cold, tokens, cheaper_live):
            live += cold
        elif not shared:
            draft.rows += cold
        elif rounds_fit and not any(row.warm for row in same):
            draft.writers.append(cold[0])
            draft.waiting += cold[1:]
        else:
            draft.rows += cold
            draft.marked |= {row.custom_id for row in cold}
    return Arranged(_sendings(draft, limits), tuple(joins), tuple(live))


def _cheaper_live(
    rows: Sequence[ParkedRow], prefix_tokens: int, cheaper: CheaperLive | None
) -> bool:
    """Where nothing is known of the length of answers, a batch is taken to be cheaper."""
    outputs = [row.output_tokens for row in rows if row.output_tokens is not None]
    if cheaper is None or not outputs:
        return False
    rest, output = fmean(row.rest_tokens for row in rows), fmean(outputs)
    return cheaper(Alike(len(rows), prefix_tokens, rest, output))


def _sendings(draft: _Draft, limits: BatchLimits) -> tuple[Sending, ...]:
    found: list[Sending] = []
    for part in parts([row.size for row in draft.writers], limits):
        rows = tuple(draft.writers[i] for i in part)
        prefixes = {row.prefix for row in rows}
        waiting = tuple(row for row in draft.waiting if row.prefix in prefixes)
        found.append(Sending("prefix", rows, frozenset(r.custom_id for r in rows), waiting))
    for part in parts([row.size for row in draft.rows], limits):
        rows = tuple(draft.rows[i] for i in part)
        marked = draft.marked & {row.custom_id for row in rows}
        found.append(Sending("lines", rows, frozenset(marked)))
    return tuple(found)
