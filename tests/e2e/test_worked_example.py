"""What a day of hosted calls costs: real calls, beside arithmetic and the emulator's account."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.bench.hosted.arithmetic import (
    HAIKU,
    OPUS,
    PLAIN,
    PRICES,
    READS,
    SONNET,
    STAGES,
    Split,
    Stage,
    call_usd,
    expected,
    per_day,
    work,
)
from tests.bench.hosted.batched import FEATURE
from tests.bench.hosted.judged import Judged, judge
from tests.bench.hosted.published import reasons
from tests.bench.hosted.stages import run
from tests.bench.hosted.texts import blocks

CALLS = 100
UNCACHED, CACHED, ROUTED, BATCHED = STAGES


async def ran(stage: Stage, folder: Path, calls: int = CALLS) -> Judged:
    found = judge(await run(stage, calls, folder))
    assert found.wrong == ()
    assert found.ledger == found.account
    assert len(found.ran.rows) == calls
    return found


def splits(judged: Judged, model: str, *, batch: bool = False) -> dict[Split, int]:
    """A model's calls by what became of their prompts."""
    return {s: n for (m, b, s), n in judged.counts.items() if (m, b) == (model, batch)}


def writers(judged: Judged, model: str) -> int:
    """Live calls that wrote the prefix."""
    return sum(n for split, n in splits(judged, model).items() if not split.read and split.written)


def said(judged: Judged, model: str) -> list[str]:
    return [f"{s.decision}: {s.reason}" for s in judged.ran.said if s.model == model]


@pytest.mark.parametrize(
    ("stage", "usd"),
    [(UNCACHED, "1850"), (CACHED, "950.23"), (ROUTED, "469.368"), (BATCHED, "428.448")],
)
def test_the_arithmetic_of_a_whole_sample(stage: Stage, usd: str) -> None:
    """Worked out on paper: 100,000 calls a day, of which 5,000 are the sample."""
    usd_of_sample = expected(stage, work(stage, 5_000), reach=Decimal("0.8"))
    assert per_day(usd_of_sample, 5_000) == Decimal(usd)


def test_the_shares_are_exact_and_evenly_spread() -> None:
    calls = work(BATCHED, 5_000)
    assert Counter(c.model for c in calls) == {HAIKU: 3_000, SONNET: 1_750, OPUS: 250}
    assert Counter(c.model for c in calls if c.batch) == {HAIKU: 600, SONNET: 350, OPUS: 50}
    assert Counter(c.model for c in calls[:20]) == {HAIKU: 12, SONNET: 7, OPUS: 1}


@pytest.mark.parametrize("model", PRICES)
@pytest.mark.parametrize("tokens", [2_000, 200])
def test_equal_seeds_are_equal_texts(model: str, tokens: int) -> None:
    assert 1 <= len(blocks(tokens, model, "one")) <= 2
    assert blocks(tokens, model, "one") == blocks(tokens, model, "one")
    assert blocks(tokens, model, "one") != blocks(tokens, model, "two")


def test_where_published_figures_differ_is_said_in_numbers() -> None:
    caching, haiku, routing, batches, half = reasons()
    assert "82.6%" in caching
    assert "$361.00 instead of $469.00" in haiku
    assert "$703.00" in routing
    assert "$0.00555" in batches
    assert "$422.10" in half


def test_what_is_written_for_an_hour_costs_twice_the_input() -> None:
    hour = Split(READS.read, 200, 200)
    assert call_usd(SONNET, hour) - call_usd(SONNET, READS) == Decimal(200) * 3 / 1_000_000
    assert call_usd(SONNET, hour) > call_usd(SONNET, Split(READS.read, 200))


async def test_without_a_cache_a_day_costs_1850_dollars(tmp_path: Path) -> None:
    found = await ran(UNCACHED, tmp_path)
    assert found.day(found.ledger) == 1_850
    assert splits(found, OPUS) == {PLAIN: CALLS}
    # The same ledger a millionth of a dollar dearer, without a call, and with one twice.
    row, *rest = found.ran.rows
    dearer = replace(row, usd=(row.usd or Decimal(0)) + Decimal("0.000001"))
    assert judge(replace(found.ran, rows=[dearer, *rest])).wrong
    assert judge(replace(found.ran, rows=rest)).wrong
    assert judge(replace(found.ran, rows=[row, *found.ran.rows])).wrong


async def test_with_a_cache_the_prefix_is_written_once_and_a_day_costs_950(tmp_path: Path) -> None:
    found = await ran(CACHED, tmp_path, 2 * CALLS)
    assert writers(found, OPUS) == 1
    assert (
        splits(found, OPUS)[READS] > CALLS
    )  # by the second half it is learnt: questions come once
    assert found.settled == 950


async def test_haiku_pays_its_short_prefix_in_full_and_the_planner_says_so(tmp_path: Path) -> None:
    found = await ran(ROUTED, tmp_path)
    assert splits(found, HAIKU) == {PLAIN: 60}
    assert found.ran.outcomes["haiku", "too_short"] == 60
    assert writers(found, SONNET) == writers(found, OPUS) == 1
    planned, *_ = said(found, HAIKU)
    assert planned.startswith("no breakpoint")
    assert planned.endswith("fewer than the 4,096 that claude-haiku-4-5 stores")
    assert any(words.startswith("hit: read 2,000") for words in said(found, SONNET))


async def test_batches_cost_half_and_most_of_them_find_the_prefix(tmp_path: Path) -> None:
    found = await ran(BATCHED, tmp_path)
    assert splits(found, HAIKU, batch=True) == {PLAIN: 12}
    sonnet = splits(found, SONNET, batch=True)
    assert sum(sonnet.values()) == 7
    assert sonnet[READS] >= 1
    assert call_usd(SONNET, READS, batch=True) == call_usd(SONNET, READS) / 2
    batched = [row for row in found.ran.rows if row.feature == FEATURE]
    assert {row.step for row in batched} == {str(c.number) for c in found.ran.calls if c.batch}
