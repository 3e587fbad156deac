"""The parts of a saving add up to it, whatever the ledger holds, and each stands for its lever."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.backend import Attempt, Kind, Outcome, Service
from serving.costs.attribution import (
    CHECKS,
    LEVERS,
    OVERHEADS,
    RETURNED,
    SEMANTIC_HIT,
    ZERO,
    Parts,
    Row,
    attribute,
)
from serving.costs.report import compute
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.upsert import upsert
from tests.serving.storage.rows import attempt

NOW = datetime(2026, 11, 22, tzinfo=UTC)
USD = st.decimals(min_value=0, max_value=1_000, places=12)
UNKNOWN_TOO = st.sampled_from([True] * 7 + [False]).flatmap(lambda k: USD if k else st.none())
ROWS = st.builds(
    Row,
    kind=st.sampled_from(get_args(Kind)),
    outcome=st.sampled_from(get_args(Outcome)),
    reason=st.sampled_from(["", "gate", SEMANTIC_HIT, "exact_cache_hit"]),
    service=st.sampled_from(get_args(Service)),
    baseline=UNKNOWN_TOO,
    list_cost=UNKNOWN_TOO,
    live_cost=UNKNOWN_TOO,
    cost=UNKNOWN_TOO,
    above_cost=UNKNOWN_TOO,
)


def row(**given: Any) -> Row:
    """An answer of a cheaper tier, partly read from its cache, in a batch."""
    values: dict[str, Any] = {
        "kind": "attempt",
        "outcome": "accepted",
        "reason": "",
        "service": "batch",
        "baseline": Decimal(20),
        "list_cost": Decimal(8),
        "live_cost": Decimal(6),
        "cost": Decimal(3),
    }
    return Row(**(values | given))


def parts(**expected: int) -> Parts:
    return Parts(**{name: Decimal(usd) for name, usd in expected.items()})


def test_each_step_of_an_answer_is_a_levers() -> None:
    assert attribute(row()) == parts(routing=12, prompt_caching=2, batch=3)
    assert attribute(row(service="flex")) == parts(routing=12, prompt_caching=2, flex=3)
    live = row(service="live", cost=Decimal(6))
    assert attribute(live) == parts(routing=12, prompt_caching=2)


def test_who_waited_where_others_climb_saved_the_climb() -> None:
    waited = row(service="flex", above_cost=Decimal(15))
    assert attribute(waited) == parts(routing=5, flex=7 + 3, prompt_caching=2)
    in_vain = row(service="flex", above_cost=Decimal(15), outcome="escalated", baseline=None)
    assert attribute(in_vain) == parts(routing=-8, flex=3, prompt_caching=2), "it climbed after all"
    assert attribute(row(above_cost=Decimal(15))) == attribute(row()), "of a batch nobody waits"


def test_a_hit_saves_the_whole_baseline() -> None:
    free = dict.fromkeys(("list_cost", "live_cost", "cost"), ZERO)
    hit = row(kind="cache_hit", service="live", reason="exact_cache_hit", **free)
    assert attribute(hit) == parts(exact_cache=20)
    other_words = row(kind="cache_hit", service="live", reason=SEMANTIC_HIT, **free)
    assert attribute(other_words) == parts(semantic_cache=20)


def test_what_was_tried_in_vain_is_routings() -> None:
    tried = row(outcome="escalated", baseline=None, service="live", cost=Decimal(6))
    assert attribute(tried) == parts(routing=-8, prompt_caching=2)


def test_checks_and_what_came_to_nothing_stand_apart() -> None:
    for kind in ("spot_check", "cache_check"):
        check = row(kind=kind, outcome="compared", baseline=None)
        assert attribute(check) == parts(checks=-8, prompt_caching=2, batch=3)
    for outcome in ("failed", "cancelled", "open"):
        lost = row(outcome=outcome, baseline=None, service="live", cost=Decimal(6))
        assert attribute(lost) == parts(unanswered=-8, prompt_caching=2)


def test_an_embedding_saves_nothing_and_the_caches_own_costs() -> None:
    plain = dict.fromkeys(("list_cost", "live_cost", "cost"), Decimal(1))
    asked = row(kind="embedding", service="live", baseline=Decimal(1), **plain)
    assert attribute(asked) == Parts()
    own = row(kind="embedding", service="live", baseline=ZERO, **plain)
    assert attribute(own) == parts(checks=-1)


def test_what_is_not_known_is_not_guessed() -> None:
    assert attribute(row(cost=None)) == parts(unattributed=20)
    assert attribute(row(baseline=None)) == parts(unattributed=-3)
    old = row(list_cost=None, live_cost=None)
    assert attribute(old) == parts(unattributed=17)


@given(ROWS)
def test_the_parts_add_up_to_baseline_less_cost(one: Row) -> None:
    returned = one.kind not in CHECKS and one.outcome in RETURNED
    baseline = one.baseline if returned else None
    assert attribute(one).total == (baseline or ZERO) - (one.cost or ZERO)


@given(ROWS)
def test_a_row_is_in_few_parts(one: Row) -> None:
    """One first step, prompt caching, one service: nothing twice."""
    found = attribute(one)
    first = ("exact_cache", "semantic_cache", "routing", "checks", "unanswered")
    assert sum(bool(getattr(found, name)) for name in first) <= 1
    assert sum(bool(getattr(found, name)) for name in ("batch", "flex")) <= 1


def test_every_part_has_a_place() -> None:
    assert [f.name for f in fields(Parts)] == [*LEVERS, *OVERHEADS, "unattributed"]


def test_an_attempt_is_a_row_to_be() -> None:
    made = Attempt("a", "attempt", "small", "m", 0.0, service="batch", outcome="accepted")
    made.baseline_cost_usd, made.list_cost_usd = Decimal(20), Decimal(8)
    made.live_cost_usd, made.cost_usd = Decimal(6), Decimal(3)
    assert Row.of(made) == row()


def stored(rows: Sequence[Row]) -> list[dict[str, Any]]:
    names = {"baseline": "baseline_cost"}
    return [
        attempt(str(i), **{names.get(f.name, f.name): getattr(r, f.name) for f in fields(Row)})
        for i, r in enumerate(rows)
    ]


async def test_the_database_comes_to_the_same(database: Database) -> None:
    """Rows drawn by Hypothesis, many at once: each draw would need a database of its own."""
    drawn: list[Row] = []

    @settings(max_examples=1_000, database=None, derandomize=True)
    @given(ROWS)
    def draw(one: Row) -> None:
        drawn.append(one)

    draw()
    async with database.begin() as connection:
        await upsert(connection, attempts, stored(drawn))
    total = (await compute(database, [], until=NOW)).total
    assert total.parts.total == total.baseline_usd - total.spend_usd
    assert total.parts == sum(map(attribute, drawn), Parts())
    assert all(getattr(total.parts, f.name) for f in fields(Parts)), "each part was tried"
