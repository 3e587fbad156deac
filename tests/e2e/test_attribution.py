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
    EXACT,
    FLEX,
    HAS_SEMANTIC,
    LEVERS,
    ORDER,
    PROMPT_CACHING,
    ROUTING,
    SEMANTIC,
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
    for lever in (EXACT, ROUTING, PROMPT_CACHING, BATCH):
        assert full.part(lever) > 5 * TENTH, lever
    assert full.line.cache_hits > REQUESTS / 10
    assert full.line.escalated > REQUESTS / 10
    assert full.line.spot_checks > 0
    assert full.line.parts.checks < 0
    assert full.line.failed > 0
    assert full.line.parts.unanswered < 0


@pytest.mark.skipif(not HAS_SEMANTIC, reason="the semantic cache needs the extra `cache`")
def test_so_had_the_semantic_cache(found: Runs) -> None:
    for on, run in found.items():
        assert (run.line.semantic_hits > 0) == ({EXACT, SEMANTIC} <= on)
    assert found[ALL].line.semantic_hits > REQUESTS / 20
    assert found[ALL].part(SEMANTIC) > 5 * TENTH


def test_lines_that_local_tiers_fail_went_to_the_providers_batches(found: Runs) -> None:
    lines = sum(ask.how == "batch" for ask in workload(questions(), REQUESTS))
    assert 0 < found[ALL].in_batches < lines, "some passed below"
    assert found[ALL - {ROUTING}].in_batches == lines
    for on, run in found.items():
        assert (run.in_batches > 0) == (BATCH in on)


def test_the_baseline_is_the_same_with_and_without(found: Runs) -> None:
    """But a semantic hit has the tokens of the question that was answered first."""
    for reworded in (True, False):
        alike = [r.line.baseline_usd for on, r in found.items() if remembers(on) == reworded]
        assert len(set(alike)) == (HAS_SEMANTIC or not reworded)
    nothing = found[up_to(None)]
    assert nothing.spend == nothing.line.baseline_usd


def remembers(on: frozenset[str]) -> bool:
    """The semantic cache needs the exact one."""
    return {EXACT, SEMANTIC} <= on


def test_a_lever_on_top_of_those_before_it_saves_its_part(found: Runs) -> None:
    steps = list(build_up(found))
    show("Each lever on top of those before it, USD", steps)
    for step in steps:
        assert step.later == 0, "what is off has no part"
        assert_agrees(step, found)
        if step.lever != ROUTING:
            assert step.overhead == 0, "checks and failures come with cheaper tiers"
    assert sum(s.measured for s in steps) == found[up_to(None)].spend - found[ALL].spend


def test_a_lever_switched_off_alone_costs_its_part_less_what_others_take(found: Runs) -> None:
    steps = {step.lever: step for step in one_off(found)}
    show("Each lever switched off alone, USD", list(steps.values()))
    for lever, step in steps.items():
        assert found[ALL - {lever}].part(lever) == 0
        assert_agrees(step, found)
    # Without a cache its hits are routed, and without routing Opus reads its prompts cheaply.
    for lever in LEVERS[: LEVERS.index(ROUTING) + 1]:
        assert steps[lever].later > 0
        assert 0 < steps[lever].measured < steps[lever].reported
    # Behind the last ones nothing takes their place: what is reported is what is measured.
    for lever in LEVERS[LEVERS.index(PROMPT_CACHING) :]:
        assert steps[lever].later == 0
        assert steps[lever].measured == steps[lever].reported


def assert_agrees(step: Ablation, found: Runs) -> None:
    """To the picodollar, and parts of levers before it are the same without it. But what the
    semantic cache answered is a hit of its own when it comes again, and would be an exact one.
    """
    assert step.measured == step.expected
    if step.lever == SEMANTIC:
        assert 0 <= step.earlier < step.reported
    else:
        assert step.earlier == 0
    if HAS_SEMANTIC and step.lever in (EXACT, SEMANTIC):  # without the exact one it is off, too
        assert abs(step.estimate) < found[ALL].part(SEMANTIC) / 20
    else:
        assert step.estimate == 0


def test_the_order_is_the_documented_one() -> None:
    levers = ("exact_cache", "semantic_cache", "routing", "prompt_caching", "batch", "flex")
    assert levers == ORDER
    assert before(PROMPT_CACHING)[-1] == ROUTING
    assert behind(PROMPT_CACHING) == (BATCH, FLEX)
