"""Where published figures for the worked example differ from the arithmetic, in numbers. How they
were reached is not known; these are the assumptions that would lead there, and what they overlook.
"""

from collections.abc import Iterator
from decimal import Decimal

from tests.bench.hosted.arithmetic import (
    ALL_OPUS,
    CALLS_PER_DAY,
    HAIKU,
    OPUS,
    PLAIN,
    PREFIX,
    PRICES,
    READ,
    READS,
    ROUTED,
    SONNET,
    STAGES,
    WRITE,
    WRITES,
    call_usd,
)

MILLION = Decimal(1_000_000)
PERCENT = Decimal(100)


def reasons() -> Iterator[str]:
    """One sentence or two for each stage after the first."""
    _, caching, routing, batching = (stage.published for stage in STAGES)
    yield _caching(caching)
    yield from _routing(routing)
    yield from _batching(batching)


def _caching(published: int) -> str:
    read, write = _prefix(OPUS, READ), _prefix(OPUS, WRITE)
    rest = day(ALL_OPUS) - read
    left = published - rest
    hits = (write - left) / (write - read)
    return (
        f"caching: a call every 0.864 s keeps the prefix warm all day, and reading it costs"
        f" ${read:.0f} a day. ${published:,} leaves ${left:.0f} for it: what it costs if only"
        f" {hits:.1%} of the calls read it and the others write it anew."
    )


def _routing(published: int) -> Iterator[str]:
    full, read = (share(HAIKU) * _prefix(HAIKU, times) for times in (Decimal(1), READ))
    yield (
        f"routing: Haiku 4.5 stores nothing under 4,096 tokens, so its prefix costs ${full:.0f} a"
        f" day, and not ${read:.0f}. Who assumes that it is cached expects"
        f" ${day(ROUTED) - full + read:,.2f} instead of ${day(ROUTED):,.2f}."
    )
    climbed = {HAIKU: 100, SONNET: 40, OPUS: 5}
    yield (
        f"routing: ${published} is more than 60/35/5 costs without any caching"
        f" (${day(ROUTED, cached=False):,.2f}). A cascade that asks the cheaper models first, and"
        f" pays for the answers that do not pass, costs ${day(climbed):,.2f} with caching and"
        f" ${day(climbed, cached=False):,.2f} without."
    )


def _batching(published: int) -> Iterator[str]:
    live = call_usd(SONNET, READS)
    cold = call_usd(SONNET, PLAIN, batch=True)
    warm = [_batched(SONNET, Decimal(reach)) for reach in ("0.3", "0.8", "0.98")]
    yield (
        f"batches: half of a Sonnet 4.6 call that is not cached (${cold}) is hardly less than all"
        f" of a cached one (${live}). With a breakpoint it is ${warm[0]}, ${warm[1]} or"
        f" ${warm[2]}, where 30%, 80% or 98% of a batch find the prefix."
    )
    plain = day(ROUTED) * Decimal("0.9")
    yield (
        f"batches: half of 20% would be 10%: ${plain:,.2f}. ${published} is"
        f" {1 - Decimal(published) / STAGES[2].published:.1%} less than the figure before it."
    )


def day(shares: dict[str, int], *, cached: bool = True) -> Decimal:
    """USD of a day in which every prefix that can be stored is read."""
    total = Decimal(0)
    for model, percent in shares.items():
        split = READS if cached and PRICES[model].stores else PLAIN
        total += CALLS_PER_DAY * percent / PERCENT * call_usd(model, split)
    return total


def share(model: str) -> Decimal:
    return ROUTED[model] / PERCENT


def _prefix(model: str, times: Decimal) -> Decimal:
    """USD of a day's prefixes on one model, at so many times the price of input."""
    return CALLS_PER_DAY * PREFIX * times * PRICES[model].input / MILLION


def _batched(model: str, reach: Decimal) -> Decimal:
    usd = reach * call_usd(model, READS, batch=True)
    usd += (1 - reach) * call_usd(model, WRITES, batch=True)
    return usd.quantize(Decimal("0.00001"))
