"""The attempts of a conversation, as the ledger knows them.

The column `conversation` holds a digest of the prompt, one per turn (`router/identity.py`). A
client sends its whole history with each turn, so the digests of earlier turns follow from it, and
one read finds them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeGuard, get_args

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    and_,
    bindparam,
    literal,
    select,
    union_all,
)

from serving.backend import Attempt
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.types import EPOCH, Moment
from serving.wire.completion import Usage

AnswerOutcome = Literal["accepted", "best_effort", "escalated"]
ANSWERED = frozenset(get_args(AnswerOutcome))

ROWS_OF_TURN = 8
ROWS_OF_TURNS_BETWEEN = 48
ROWS_OF_SESSION = 24
"""The same prompt may have been sent a thousand times; the latest attempts say enough."""

NO_TURN = ""


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that came to an answer. `started_at` is in Unix seconds. What a batch used counts
    as estimated: it was used hours before, so that it does not tell what is warm.
    """

    request_id: str
    tier: str
    outcome: AnswerOutcome
    started_at: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class PastTurns:
    """Attempts in their order: of the turns that were asked for, and of the session."""

    turns: tuple[PastAttempt, ...] = ()
    session: tuple[PastAttempt, ...] = ()


def past_attempt(attempt: Attempt, request_id: str) -> PastAttempt | None:
    """None where the attempt came to no answer, or has no last word yet."""
    if attempt.kind != "attempt" or not _answered(attempt.outcome):
        return None
    usage = attempt.usage
    if attempt.service == "batch":
        usage = replace(usage, estimated=True)
    return PastAttempt(request_id, attempt.tier, attempt.outcome, attempt.started_at, usage)


async def past_turns(
    database: Database,
    turns: Sequence[str],
    *,
    tenant: str,
    session: str | None,
    since: datetime,
) -> PastTurns:
    """What came of `turns` (values of `conversation`, oldest first, at least one) since then, and,
    where a session is given, of its latest attempts of any conversation. One read, by indexes
    alone; raises what the database raises.

    Of a prompt that was sent more than once, the latest request counts.
    """
    first = turns[0] if len(turns) > 1 else NO_TURN
    values = {"first": first, "between": turns[1:-1], "last": turns[-1], "since": since}
    if session is not None:
        values |= {"session": session, "tenant": tenant}
    async with database.read() as connection:
        rows = (
            await connection.execute(turns_query(with_session=session is not None), values)
        ).all()
    chain = [row for row in rows if not row.of_session]
    latest = {row.conversation: row.request_id for row in sorted(chain, key=_age)}
    # A later turn comes later, even where an earlier prompt has been sent again since.
    place = {turn: i for i, turn in enumerate(turns)}
    counting = (row for row in chain if row.request_id == latest[row.conversation])
    ordered = sorted(counting, key=lambda row: (place[row.conversation], row.created_at))
    of_session = sorted((row for row in rows if row.of_session), key=_age)
    return PastTurns(tuple(map(_of_row, ordered)), tuple(map(_of_row, of_session)))


@cache
def turns_query(*, with_session: bool) -> CompoundSelect[Any]:
    """The read of `past_turns`. Built once: that takes longer than the read."""
    table = attempts.c
    parts = [
        _latest(ROWS_OF_TURN, table.conversation == bindparam("first")),
        _latest(ROWS_OF_TURN, table.conversation == bindparam("last")),
        _latest(
            ROWS_OF_TURNS_BETWEEN,
            table.conversation.in_(bindparam("between", expanding=True)),
        ),
    ]
    if with_session:
        session = and_(
            table.session == bindparam("session"),
            table.tenant == bindparam("tenant"),
            table.conversation.is_not(None),
        )
        parts.append(_latest(ROWS_OF_SESSION, session, of_session=True))
    return union_all(*parts)


def _latest(limit: int, wanted: ColumnElement[bool], *, of_session: bool = False) -> Select[Any]:
    """The latest of the wanted rows. Only attempts have a conversation, and asking for their kind
    would make SQLite go by the index of kinds, through all that has happened.
    """
    table = attempts.c
    columns = (
        *(literal(of_session).label("of_session"), table.conversation, table.request_id),
        *(table.tier, table.outcome, table.created_at, table.prompt_tokens),
        *(table.completion_tokens, table.cached_tokens, table.cache_write_tokens),
        *(table.cache_write_1h_tokens, table.usage_estimated, table.service),
    )
    query = select(*columns).where(
        wanted,
        table.created_at >= bindparam("since", type_=Moment()),
        table.outcome.in_(sorted(ANSWERED)),
    )
    # In a compound statement, SQLite takes a limit of one part in a subquery only.
    return select(query.order_by(table.created_at.desc()).limit(limit).subquery())


def _age(row: Row[Any]) -> datetime:
    made: datetime = row.created_at
    return made


def _of_row(row: Row[Any]) -> PastAttempt:
    usage = Usage(
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cached_tokens=row.cached_tokens,
        cache_write_tokens=row.cache_write_tokens,
        cache_write_1h_tokens=row.cache_write_1h_tokens,
        estimated=row.usage_estimated or row.service == "batch",
    )
    at = (row.created_at - EPOCH).total_seconds()
    return PastAttempt(row.request_id, row.tier, row.outcome, at, usage)


def _answered(outcome: str) -> TypeGuard[AnswerOutcome]:
    return outcome in ANSWERED
