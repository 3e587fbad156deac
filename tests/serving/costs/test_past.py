"""What the ledger knows of a conversation's turns."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from serving.backend import Attempt, Trace
from serving.costs.ledger import Ledger
from serving.costs.past import (
    ROWS_OF_SESSION,
    ROWS_OF_TURN,
    ROWS_OF_TURNS_BETWEEN,
    PastAttempt,
    PastTurns,
    past_attempt,
    past_turns,
    turns_query,
)
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.wire.completion import Usage
from tests.serving.costs.fakes import call, opened, rows
from tests.serving.storage.rows import attempt

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def row(key: str, turn: str | None, *, second: float = 0, **values: Any) -> dict[str, Any]:
    """An attempt of the request that the first word of `key` names."""
    created, request = NOW + timedelta(seconds=second), f"r-{key.split(maxsplit=1)[0]}"
    return attempt(key, conversation=turn, request_id=request, created_at=created, **values)


async def known(
    database: Database,
    *turns: str,
    session: str | None = None,
    since: datetime = NOW - timedelta(hours=1),
) -> PastTurns:
    return await past_turns(database, turns, tenant="t", session=session, since=since)


def ids(found: Sequence[PastAttempt]) -> list[str]:
    return [past.request_id.removeprefix("r-") for past in found]


async def test_an_attempt_is_read_as_it_was_recorded(database: Database, ledger: Ledger) -> None:
    asked = call("req_1", tenant="t", trace=Trace(conversation="t1"))
    made = opened(ledger, asked)
    made.usage = Usage(1_000, 200, cached_tokens=400, cache_write_tokens=300)
    made.judge("accepted", "passed")
    await ledger.flush()
    expected = past_attempt(made, "req_1")
    since = datetime.fromtimestamp(made.started_at - 1, UTC)
    (found,) = (await known(database, "t1", since=since)).turns
    assert expected is not None
    assert (found.request_id, found.tier, found.outcome) == ("req_1", "small", "accepted")
    assert found.usage == expected.usage == made.usage
    assert abs(found.started_at - made.started_at) < 1e-5


async def test_only_attempts_are_part_of_a_conversation(database: Database, ledger: Ledger) -> None:
    asked = call("req_1", trace=Trace(conversation="t1"))
    for kind in ("attempt", "cache_hit", "spot_check"):
        opened(ledger, asked, kind=kind).judge("accepted", "passed")
    await ledger.flush()
    found = {r["kind"]: r["conversation"] for r in await rows(database)}
    assert found == {"attempt": "t1", "cache_hit": None, "spot_check": None}


async def test_turns_come_in_the_order_of_the_conversation(database: Database) -> None:
    """An earlier prompt that was sent again is no later turn."""
    table = [
        row("a", "t1"),
        row("again", "t1", second=90),
        row("b small", "t2", second=10, outcome="escalated", tier="small"),
        row("b large", "t2", second=11, tier="large"),
        row("c", "t3", second=20),
        row("d", "t4", second=30),
        row("other", "t5", second=30),
        row("none", None, second=30),
    ]
    await database.upsert(attempts, table)
    assert ids((await known(database, "t1")).turns) == ["again"], "the latest request counts"
    assert ids((await known(database, "t1", "t2")).turns) == ["again", "b", "b"]
    found = await known(database, "t1", "t2", "t3", "t4")
    assert ids(found.turns) == ["again", "b", "b", "c", "d"]
    assert [past.tier for past in found.turns[1:3]] == ["small", "large"]
    assert found.session == ()
    assert await known(database, "t9") == PastTurns()


async def test_only_what_came_to_an_answer_counts(database: Database) -> None:
    outcomes = ("accepted", "best_effort", "escalated", "failed", "cancelled", "intent", "open")
    table = [row(f"a {o}", "t1", second=i, outcome=o) for i, o in enumerate(outcomes)]
    await database.upsert(attempts, table)
    found = (await known(database, "t1")).turns
    assert [past.outcome for past in found] == ["accepted", "best_effort", "escalated"]


async def test_what_is_too_old_is_forgotten(database: Database) -> None:
    await database.upsert(attempts, [row("old", "t1", second=-60), row("new", "t1", second=0)])
    assert ids((await known(database, "t1", since=NOW - timedelta(seconds=30))).turns) == ["new"]


async def test_the_first_and_the_latest_turn_are_never_crowded_out(database: Database) -> None:
    """Not by thousands of requests that went the same way for a while."""
    table = [row(f"a{i}", "t1", second=i / 100 - 20) for i in range(3 * ROWS_OF_TURN)]
    table += [row(f"b{i}", "t2", second=i) for i in range(3 * ROWS_OF_TURNS_BETWEEN)]
    table += [row(f"c{i}", "t3", second=i / 100 - 10) for i in range(3 * ROWS_OF_TURN)]
    await database.upsert(attempts, table)
    last = (3 * ROWS_OF_TURN - 1, 3 * ROWS_OF_TURNS_BETWEEN - 1, 3 * ROWS_OF_TURN - 1)
    expected = [f"{letter}{number}" for letter, number in zip("abc", last, strict=True)]
    assert ids((await known(database, "t1", "t2", "t3")).turns) == expected


async def test_a_session_is_the_tenants_own(database: Database) -> None:
    table = [row(f"s{i}", "x", second=i, session="s") for i in range(ROWS_OF_SESSION + 5)]
    table += [
        row("foreign", "x", second=50, session="s", tenant="other"),
        row("elsewhere", "x", second=50, session="another"),
    ]
    await database.upsert(attempts, table)
    found = await known(database, "t1", session="s")
    assert found.turns == ()
    assert ids(found.session) == [f"s{i}" for i in range(5, ROWS_OF_SESSION + 5)]


async def test_the_ledger_is_not_searched_through(database: Database) -> None:
    """Each part of the read goes by an index."""
    values = {"first": "w", "between": ["x", "y"], "last": "z", "since": NOW}
    values |= {"session": "s", "tenant": "t"}
    wanted = turns_query(with_session=True).params(values)
    options = {"literal_binds": True, "render_postcompile": True}
    explain = "EXPLAIN " if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN "
    async with database.engine.connect() as connection:
        if database.dialect == "postgresql":  # it would read so small a table as a whole
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        sql = str(wanted.compile(dialect=connection.dialect, compile_kwargs=options))
        lines = [str(line) for line in await connection.execute(text(explain + sql))]
    plan = "\n".join(lines)
    assert plan.count("ix_attempts_conversation_created_at") >= 3, plan
    assert plan.count("ix_attempts_session_created_at") >= 1, plan
    assert "SCAN attempts" not in plan, plan
    assert "Seq Scan" not in plan, plan


def test_what_has_no_answer_is_no_past() -> None:
    made = Attempt("a", "attempt", "small", "m", 5.0)
    assert past_attempt(made, "r") is None
    made.judge("failed", "tier_timeout")
    assert past_attempt(made, "r") is None
    hit = Attempt("a", "cache_hit", "small", "m", 5.0)
    hit.judge("accepted", "exact_cache_hit")
    assert past_attempt(hit, "r") is None
    good = Attempt("a", "attempt", "small", "m", 5.0)
    good.judge("escalated", "gate")
    assert past_attempt(good, "r") == PastAttempt("r", "small", "escalated", 5.0, Usage())


async def test_a_batch_does_not_tell_what_is_warm(database: Database, ledger: Ledger) -> None:
    """It read and wrote the provider's cache hours before its attempt is recorded."""
    asked = call("req_1", tenant="t", trace=Trace(conversation="t1"))
    made = opened(ledger, asked)
    made.service, made.usage = "batch", Usage(1_000, 200, cache_write_tokens=900)
    made.judge("accepted", "passed")
    await ledger.flush()
    expected = past_attempt(made, "req_1")
    since = datetime.fromtimestamp(made.started_at - 1, UTC)
    (found,) = (await known(database, "t1", since=since)).turns
    assert expected is not None
    assert found.usage.estimated
    assert found.usage == expected.usage
    assert not made.usage.estimated
