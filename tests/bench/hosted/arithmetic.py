"""The worked example by hand: prices and rules as published, written out a second time.

Nothing here reads the rate card, the emulator's tariffs or any code of the product, so that it can
show either of them wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

OPUS, SONNET, HAIKU = "claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5"

CALLS_PER_DAY = 100_000
GAP_S = 0.864  # 86,400 seconds / 100,000 calls
PREFIX, QUESTION, ANSWER = 2_000, 200, 300

# Times the price of input: a write for five minutes or for an hour, a read.
WRITE, WRITE_1H, READ = Decimal("1.25"), Decimal(2), Decimal("0.1")
HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True, order=True)
class Split:
    """How many of a call's prompt tokens were read from the cache, and how many written to it;
    `hour`: how many of these for an hour.
    """

    read: int
    written: int
    hour: int = 0


PLAIN = Split(0, 0)
WRITES = Split(0, PREFIX)
READS = Split(PREFIX, 0)
# What a planner does that does not know yet that the question never comes again.
WRITES_ALL = Split(0, PREFIX + QUESTION)
WRITES_MORE = Split(PREFIX, QUESTION)
SPLITS: Mapping[Split, str] = {
    PLAIN: "plain",
    WRITES: "writes",
    READS: "reads",
    WRITES_ALL: "writes all",
    WRITES_MORE: "reads, writes rest",
    # The same for an hour, which a planner may try where it has seen little.
    Split(0, PREFIX, PREFIX): "writes 1h",
    Split(0, PREFIX + QUESTION, QUESTION): "writes all, rest 1h",
    Split(0, PREFIX + QUESTION, PREFIX + QUESTION): "writes all 1h",
    Split(PREFIX, QUESTION, QUESTION): "reads, writes rest 1h",
}


@dataclass(frozen=True, slots=True)
class Published:
    """USD per million tokens in and out, and the shortest prefix in tokens that is stored."""

    input: int
    output: int
    stores_from: int

    @property
    def stores(self) -> bool:
        """Whether the example's prefix is long enough."""
        return self.stores_from <= PREFIX


PRICES: Mapping[str, Published] = {
    OPUS: Published(5, 25, 1_024),
    SONNET: Published(3, 15, 1_024),
    HAIKU: Published(1, 5, 4_096),
}


def call_usd(model: str, split: Split, *, batch: bool = False) -> Decimal:
    """One call: ((plain + 1.25 x written for five minutes + 2 x written for an hour + 0.1 x read)
    x input + answer x output) / 1,000,000.
    """
    price = PRICES[model]
    plain = PREFIX + QUESTION - split.read - split.written
    tokens = plain + WRITE * (split.written - split.hour) + WRITE_1H * split.hour
    tokens += READ * split.read
    usd = (tokens * price.input + ANSWER * price.output) / Decimal(1_000_000)
    return usd * HALF if batch else usd


@dataclass(frozen=True, slots=True)
class Stage:
    """`shares` of the calls by model, in percent. Of each model's calls `batched` percent go
    through Message Batches. `published` is the figure of published accounts, USD a day.
    """

    name: str
    shares: Mapping[str, int]
    published: int
    cached: bool = False
    batched: int = 0


ALL_OPUS = {OPUS: 100}
ROUTED = {HAIKU: 60, SONNET: 35, OPUS: 5}
STAGES = (
    Stage("all Opus 4.8, uncached", ALL_OPUS, 1_850),
    Stage("+ prompt caching", ALL_OPUS, 1_150, cached=True),
    Stage("+ routing 60/35/5", ROUTED, 780, cached=True),
    Stage("+ 20% in batches", ROUTED, 720, cached=True, batched=20),
)


@dataclass(frozen=True, slots=True)
class Work:
    """One call of the example: the `number`th of all, the `turn`th of its model's."""

    number: int
    turn: int
    model: str
    batch: bool


def work(stage: Stage, calls: int) -> list[Work]:
    """The calls in their order: each model's as evenly spread as whole calls can be, and of each
    model's the batched ones, too.
    """
    found: list[Work] = []
    given = dict.fromkeys(stage.shares, 0)
    for number in range(calls):
        lag = {m: share * (number + 1) - 100 * given[m] for m, share in stage.shares.items()}
        model = max(lag, key=lambda m: lag[m])
        turn = given[model]
        given[model] += 1
        batch = stage.batched * (turn + 1) // 100 > stage.batched * turn // 100
        found.append(Work(number, turn, model, batch))
    return found


def expected(stage: Stage, calls: list[Work], *, reach: Decimal) -> Decimal:
    """USD of these calls where each model's prefix that can be stored is written once, by its first
    live call, and stays warm. Of the batched calls the share `reach` finds it; the others write it
    anew.
    """
    total = Decimal(0)
    written: set[str] = set()
    for call in calls:
        if not (stage.cached and PRICES[call.model].stores):
            total += call_usd(call.model, PLAIN, batch=call.batch)
        elif call.batch:
            total += reach * call_usd(call.model, READS, batch=True)
            total += (1 - reach) * call_usd(call.model, WRITES, batch=True)
        else:
            total += call_usd(call.model, READS if call.model in written else WRITES)
            written.add(call.model)
    return total


def per_day(usd: Decimal, calls: int) -> Decimal:
    """What a sample of so many calls comes to in a day of them."""
    return usd * CALLS_PER_DAY / calls
