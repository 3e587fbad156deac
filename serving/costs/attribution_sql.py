"""`attribute` as sums in the database, over any set of rows: exact, since they are integers."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, func, literal, not_, or_, type_coerce

from serving.costs.attribution import CHECKS, JUDGED, RETURNED, SEMANTIC_HIT, ZERO, Parts
from serving.storage.schema import attempts
from serving.storage.types import Money

PREFIX = "saved_"

_a = attempts.c
_cost, _list, _live = (type_coerce(c, BigInteger) for c in (_a.cost, _a.list_cost, _a.live_cost))

_check = _a.kind.in_(sorted(CHECKS))
_owed = and_(not_(_check), _a.outcome.in_(sorted(RETURNED)))
_baseline = case(
    (_owed, func.coalesce(type_coerce(_a.baseline_cost, BigInteger), 0)),
    else_=literal(0, BigInteger),
)
_above = case(
    (
        and_(_owed, _a.service == "flex"),
        func.coalesce(type_coerce(_a.above_cost, BigInteger), _list),
    ),
    else_=_list,
)
_unknown = or_(
    _a.cost.is_(None),
    _a.list_cost.is_(None),
    _a.live_cost.is_(None),
    and_(_owed, _a.baseline_cost.is_(None)),
)
_hit = _a.kind == "cache_hit"
_semantic = _a.reason == SEMANTIC_HIT
_judged = _a.outcome.in_(sorted(JUDGED))

FIRST: Mapping[str, ColumnElement[bool]] = {
    "exact_cache": and_(_judged, _hit, not_(_semantic)),
    "semantic_cache": and_(_judged, _hit, _semantic),
    "routing": and_(_judged, _a.kind == "attempt"),
    "checks": or_(_check, and_(_judged, _a.kind == "embedding")),
    "unanswered": and_(not_(_check), not_(_judged)),
}
"""Where a row's first step goes; each row is in exactly one of them."""


def parts_columns() -> list[ColumnElement[Any]]:
    """One sum per part; null where no row has it."""
    first = {
        name: case((and_(not_(_unknown), where), _baseline - _above))
        for name, where in FIRST.items()
    }
    served = {
        name: case((and_(not_(_unknown), _a.service == name), _above - _list + _live - _cost))
        for name in ("batch", "flex")
    }
    other = and_(not_(_unknown), _a.service.not_in(("batch", "flex")))
    rest = case((_unknown, _baseline - func.coalesce(_cost, 0)), (other, _live - _cost))
    steps = {**first, "prompt_caching": case((not_(_unknown), _list - _live)), **served}
    steps["unattributed"] = rest
    return [type_coerce(func.sum(s), Money).label(f"{PREFIX}{n}") for n, s in steps.items()]


def parts_of(row: Mapping[Any, Any]) -> Parts:
    """From a row that has `parts_columns`."""
    sums: dict[str, Decimal | None] = {f.name: row[f"{PREFIX}{f.name}"] for f in fields(Parts)}
    return Parts(**{name: ZERO if usd is None else usd for name, usd in sums.items()})
