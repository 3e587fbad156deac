"""What the emulator bills, from its own reading of the published prices. It shares nothing with the
rate card that the ledger goes by, and is kept as rules where the card lists every rate, so that
each of the two can show the other wrong.
"""

import re
from dataclasses import dataclass, fields, replace
from decimal import Decimal

MILLION = Decimal(1_000_000)
WRITE_5M, WRITE_1H = Decimal("1.25"), Decimal(2)
BATCH, US = Decimal("0.5"), Decimal("1.1")
TENTH, TWENTIETH = Decimal("0.1"), Decimal("0.05")

_SNAPSHOT = re.compile(r"-\d{8}$")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one or more requests by what they cost. Every prompt token is in exactly one of the
    first four; `output` includes thinking.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Tariff:
    """USD per million tokens; `read` is the share of the input price that a cache read costs. Above
    so many prompt tokens, the whole request goes by the other tariff of `long`.
    """

    input: Decimal
    output: Decimal
    read: Decimal
    long: "tuple[int, Tariff] | None" = None


def _tariff(into: str, out: str, read: Decimal = TENTH) -> Tariff:
    return Tariff(Decimal(into), Decimal(out), read)


TARIFFS = {
    "claude-haiku-4-5": _tariff("1", "5"),
    "claude-haiku-5-5": replace(_tariff("0.10", "0.50"), long=(100_000, _tariff("0.50", "2.50"))),
    "claude-sonnet-4-6": _tariff("3", "15"),
    "claude-sonnet-5": _tariff("2", "10"),
    "claude-sonnet-5-5": _tariff("2", "10", TWENTIETH),
    "claude-opus-4-8": _tariff("5", "25"),
    "claude-opus-5": _tariff("5", "25"),
    "claude-opus-5-5": _tariff("4", "20", TWENTIETH),
}


def usd(model: str, tokens: Tokens, *, batch: bool = False, us: bool = False) -> Decimal | None:
    """Exact USD of one request; None where the model's price is not known. `us`: inference that
    must stay in the United States.
    """
    tariff = TARIFFS.get(model) or TARIFFS.get(_SNAPSHOT.sub("", model))
    if tariff is None:
        return None
    if tariff.long is not None and tokens.prompt > tariff.long[0]:
        tariff = tariff.long[1]
    weighted = (
        tokens.input
        + tokens.cache_read * tariff.read
        + tokens.cache_write_5m * WRITE_5M
        + tokens.cache_write_1h * WRITE_1H
    )
    cost = (weighted * tariff.input + tokens.output * tariff.output) / MILLION
    return cost * (BATCH if batch else 1) * (US if us else 1)
