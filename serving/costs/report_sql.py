"""The report's queries: all sums are made in the database, exactly, in integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, func, select, type_coerce

from serving.costs.attribution_sql import parts_columns
from serving.costs.rows import INTENT
from serving.storage.schema import attempts
from serving.storage.types import DAY_MICROS

GroupBy = Literal["tier", "feature", "session", "day"]
GROUPINGS: tuple[GroupBy, ...] = ("tier", "feature", "session", "day")
Query = Select[*tuple[Any, ...]]
LOST = ("escalated", "failed", "cancelled")

_a = attempts.c
_settled = _a.outcome != INTENT
_attempted = _a.kind == "attempt"
_asked = _a.kind.in_(("attempt", "embedding"))
_generated = _a.kind != "cache_hit"  # a hit replays tokens, it generates none
_check = _a.kind.in_(("spot_check", "cache_check"))
_semantic = and_(_a.kind == "cache_hit", _a.reason == "semantic_cache_hit")
_answered = and_(~_check, _a.outcome.in_(("accepted", "best_effort")))
_lost = and_(_asked, _a.outcome.in_(LOST))


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows: those of [since, until), of one tenant or all. None is no bound."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None

    def narrow(self, query: Query) -> Query:
        if self.since is not None:
            query = query.where(_a.created_at >= self.since)
        if self.until is not None:
            query = query.where(_a.created_at < self.until)
        return query if self.tenant is None else query.where(_a.tenant == self.tenant)


def totals(scope: Scope) -> Query:
    """One row: the sums of all settled rows."""
    return scope.narrow(select(*_sums()).where(_settled))


def grouped(scope: Scope, by: GroupBy, limit: int) -> Query:
    """A row per group: `name` and the sums, with `groups`, how many there are before the limit.
    Days, as days since 1970, come oldest first; the others with the most expensive first.
    """
    day = type_coerce(_a.created_at, BigInteger) // DAY_MICROS
    columns: Mapping[GroupBy, ColumnElement[Any]] = {
        "tier": _a.tier,
        "feature": _a.feature,
        "session": _a.session,
        "day": day,
    }
    name = columns[by]
    query = select(name.label("name"), func.count().over().label("groups"), *_sums())
    query = scope.narrow(query.where(_settled)).group_by(name).limit(limit)
    dearest = func.sum(_a.cost).desc().nulls_last()
    return query.order_by(name.desc()) if by == "day" else query.order_by(dearest, name)


def lost(scope: Scope, limit: int) -> Query:
    """Why money was spent on answers that nobody got, the most expensive reason first."""
    query = select(
        _a.tier,
        _a.outcome,
        _a.reason,
        func.count().label("attempts"),
        func.sum(_a.cost).label("cost"),
        (func.count() - func.count(_a.cost)).label("unpriced"),
    )
    query = scope.narrow(query.where(_lost)).group_by(_a.tier, _a.outcome, _a.reason).limit(limit)
    dearest = func.sum(_a.cost).desc().nulls_last()
    return query.order_by(dearest, func.count().desc(), _a.tier, _a.outcome, _a.reason)


def unsettled(scope: Scope) -> Query:
    """Hosted calls whose end is not known: under way, or cut off by a crash."""
    query = select(
        func.count().label("calls"),
        func.sum(_a.cost).label("at_most"),
        (func.count() - func.count(_a.cost)).label("unpriced"),
        func.min(_a.created_at).label("oldest"),
    )
    return scope.narrow(query.where(_a.outcome == INTENT))


def first_row(scope: Scope) -> Query:
    """When the oldest row in scope was made, null where there is none."""
    return scope.narrow(select(func.min(_a.created_at)))


def marginal_by_tier(scope: Scope) -> Query:
    """The marginal cost of each tier's attempts and checks, and of each embedder's calls."""
    query = select(_a.tier, func.sum(_a.cost).label("cost")).where(_settled, _generated)
    return scope.narrow(query).group_by(_a.tier)


def _sums() -> list[ColumnElement[Any]]:
    unpriced_baseline = and_(_answered, _a.baseline_cost.is_(None))
    outcomes = ("accepted", "best_effort", *LOST, "open")
    return [
        func.count(_a.request_id.distinct()).label("requests"),
        func.count().label("rows"),
        _count(_attempted).label("attempts"),
        _count(_a.kind == "cache_hit").label("cache_hits"),
        _count(_semantic).label("semantic_hits"),
        _count(_a.kind == "spot_check").label("spot_checks"),
        _count(_a.kind == "cache_check").label("cache_checks"),
        _count(_a.kind == "embedding").label("embeddings"),
        *(_count(and_(_asked, _a.outcome == o)).label(o) for o in outcomes),
        _sum(_generated, _a.prompt_tokens).label("prompt_tokens"),
        _sum(_generated, _a.cached_tokens).label("cached_tokens"),
        _sum(_generated, _a.completion_tokens).label("output_tokens"),
        _sum(_a.kind == "cache_hit", _a.completion_tokens).label("replayed_tokens"),
        func.sum(_a.cost).label("cost"),
        _count(_a.cost.is_(None)).label("unpriced"),
        _sum(_answered, _a.baseline_cost).label("baseline"),
        _count(unpriced_baseline).label("unpriced_baseline"),
        _sum(_lost, _a.cost).label("recoverable"),
        _sum(_check, _a.cost).label("checking"),
        _count(_a.simulated.is_(True)).label("simulated"),
        _count(_a.usage_estimated.is_(True)).label("estimated"),
        *parts_columns(),
    ]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _sum(condition: ColumnElement[bool], column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Null where no row qualifies."""
    return func.sum(case((condition, column)))
