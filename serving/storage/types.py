"""Column types that hold the same on SQLite and PostgreSQL, and text that both can store."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import BigInteger, Dialect
from sqlalchemy.types import TypeDecorator

PICO = Decimal("1e-12")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY_MICROS = 86_400_000_000
MAX_INT = 2**63 - 1


def to_pico(usd: Decimal) -> Decimal:
    """`usd` rounded to whole picodollars (half to even), as the ledger stores it."""
    return usd.quantize(PICO, rounding=ROUND_HALF_EVEN)


class Money(TypeDecorator[Decimal]):
    """USD as whole picodollars (1e-12 USD) in a BIGINT, so that sums in the database are exact.

    One value or sum may reach 9.2 million USD; PostgreSQL's sums have no bound.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the base class's signature
        if value is None:
            return None
        pico = int(value.scaleb(12).to_integral_value(rounding=ROUND_HALF_EVEN))
        if abs(pico) > MAX_INT:
            raise ValueError(f"{value} USD is beyond what a money column holds")
        return pico

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the base class's signature
        # PostgreSQL's sum of BIGINT is NUMERIC, hence a Decimal already.
        return None if value is None else Decimal(value).scaleb(-12)


class Moment(TypeDecorator[datetime]):
    """A UTC time as microseconds since 1970 in a BIGINT; a naive datetime is refused.

    An integer compares, indexes and divides into days alike on both databases.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the base class's signature
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base class's signature
        return None if value is None else EPOCH + int(value) * MICROSECOND


def storable(text: str | None, limit: int | None = None) -> str | None:
    """`text` cut to `limit` characters, with what a database refuses (NUL, lone surrogates)
    replaced by U+FFFD. Clients choose such text, and one bad row must not hold up the others.
    """
    if text is None:
        return None
    text = text[:limit]
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable_json(value: Any) -> Any:
    """A copy of a JSON value in which every string is storable, and every number that JSON lacks
    (NaN, infinities) is null.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {storable(str(k)): storable_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(v) for v in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value
