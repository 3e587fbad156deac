"""The parts of a saving are what their levers really save: each is switched off in turn."""

import asyncio
from decimal import Decimal

import pytest
from rich.console import Console

from tests.e2e.attribution.compare import (
    ALL,
    Ablation,
    Runs,
    before,
    behind,
    build_up,
    one_off,
    parts_table,
    runs,
    table,
    up_to,
)
from tests.e2e.attribution.workload import (
    BATCH,
    CACHE,
    FLEX,
    LEVERS,
    PROMPT_CACHING,
    ROUTING,
    questions,
    workload,
)

TENTH = Decimal("0.001")
"""Of a cent."""
REQUESTS = 120


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    asks, folder = workload(questions(), REQUESTS), tmp_path_factory.mktemp("replays")
    return asyncio.run(runs(asks, folder))


def show(title: str, of: list[Ablation]) -> None:
    console = Console(width=160)
    console.print()
    console.print(table(title, of))


def test_the_parts_add_up_to_the_picodollar(found: Runs) -> None:
    Console(width=160).print(parts_table(found))
    for run in found.values():
        assert run.line.parts.total == run.line.baseline_usd - run.spend
        assert run.line.parts.unattributed == 0
        assert run.line.savings_usd is not None


def test_the_ledger_is_what_the_emulator_billed(found: Runs) -> None:
    """So what is measured here are bills, and not the ledger's own idea of them."""
    for run in found.values():
        assert run.hosted == run.billed > 0


def test_every_lever_had_something_to_do(found: Runs) -> None:
    full = found[ALL]
    for lever in (CACHE, ROUTING, PROMPT_CACHING, BATCH):
        assert full.part(lever) > 5 * TENTH, lever
    assert full.line.cache_hits > REQUESTS / 10
    assert full.line.escalated > REQUESTS / 10
    assert full.line.spot_checks > 0
    assert full.line.parts.checks < 0
    assert full.line.failed > 0
    assert full.line.parts.unanswered < 0


def test_the_baseline_is_the_same_with_and_without(found: Runs) -> None:
    assert len({run.line.baseline_usd for run in found.values()}) == 1
    nothing = found[up_to(None)]
    assert nothing.spend == nothing.line.baseline_usd


def test_a_lever_on_top_of_those_before_it_saves_its_part(found: Runs) -> None:
    steps = list(build_up(found))
    show("Each lever on top of those before it, USD", steps)
    for step in steps:
        assert step.later == 0, "what is off has no part"
        assert_agrees(step)
        if step.lever != ROUTING:
            assert step.overhead == 0, "checks and failures come with cheaper tiers"
    assert sum(s.measured for s in steps) == found[up_to(None)].spend - found[ALL].spend


def test_a_lever_switched_off_alone_costs_its_part_less_what_others_take(found: Runs) -> None:
    steps = {step.lever: step for step in one_off(found)}
    show("Each lever switched off alone, USD", list(steps.values()))
    for lever, step in steps.items():
        assert found[ALL - {lever}].part(lever) == 0
        assert_agrees(step)
    # Without the cache its hits are routed, and without routing Opus reads its prompts cheaply.
    assert steps[CACHE].later > 0
    assert 0 < steps[CACHE].measured < steps[CACHE].reported
    assert steps[ROUTING].later > 0
    assert 0 < steps[ROUTING].measured < steps[ROUTING].reported
    # Nothing stands behind the last ones: what is reported is what is measured.
    for lever in (PROMPT_CACHING, BATCH, FLEX):
        assert abs(steps[lever].measured - steps[lever].reported) < TENTH + abs(steps[lever].later)


def assert_agrees(step: Ablation) -> None:
    """To the picodollar; but where prompt caching is on in both runs, it learns from other calls,
    or from the same ones in another order, and writes an entry earlier or later.
    """
    assert step.estimate == 0
    if step.lever in (CACHE, ROUTING, PROMPT_CACHING):
        assert step.moved == 0
        assert step.measured == step.expected
    else:
        assert abs(step.off) < TENTH


def test_the_order_is_the_documented_one() -> None:
    assert LEVERS == ("cache", "routing", "prompt_caching", "batch", "flex")
    assert before(ROUTING) == (CACHE,)
    assert behind(PROMPT_CACHING) == (BATCH, FLEX)
