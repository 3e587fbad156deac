"""Prints the memory of vLLM tiers, and local tiers against hosted models."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console

from deploy.cli.check_memory import TierMemory
from deploy.cli.check_money import Compared
from deploy.cli.console import columns, say
from serving.costs.breakeven import Mix
from serving.engines.vllm.memory import GIB, MemoryPlan

THOUSAND = 1_000
FIGURES = ("memory", "vLLM's", "weights", "working", "KV cache", "KV tokens", "KiB/token")


def show_memory(console: Console, tiers: Sequence[TierMemory], mix: Mix) -> None:
    """A row per tier whose plan is known; `working` is an estimate, docs/gpu.md says of what."""
    known = [(tier, tier.plan) for tier in tiers if tier.plan is not None]
    if not known:
        return
    table = columns("Memory of each GPU (or CPU worker), GiB", "tier", "weights as", "on")
    for name in (*FIGURES, "longest", "at once", f"at {mix.tokens:,}"):
        table.add_column(name, justify="right")
    table.add_column("")
    for tier, plan in known:
        rows = (tier.tier, tier.weights or "-", tier.hardware, *_figures(plan))
        once = (f"{plan.max_length:,}", f"{tier.at_length:,}", f"{tier.at_typical:,}")
        table.add_row(*rows, *once, "fits" if tier.fits else "DOES NOT FIT")
    console.print(table)
    for tier, _ in known:
        say(console, f"{tier.tier}: dimensions of {tier.model} {tier.found}")


def _figures(plan: MemoryPlan) -> tuple[str, ...]:
    sizes = (plan.capacity, plan.budget, plan.weights, plan.overhead, plan.kv_pool)
    per_token = plan.kv_bytes_per_token / 1024
    return (*(f"{size / GIB:.1f}" for size in sizes), f"{plan.kv_tokens:,}", f"{per_token:g}")


def show_money(console: Console, comparisons: Sequence[Compared], mix: Mix) -> None:
    if not comparisons:
        return
    title = (
        f"Local or hosted: USD per thousand requests of {mix.prompt_tokens:,} and"
        f" {mix.completion_tokens:,} tokens"
    )
    table = columns(title, "tier", "against")
    for name in ("hosted", "always busy", "utilisation", "then", "pays from", "requests a day"):
        table.add_column(name, justify="right")
    for each in comparisons:
        figures = each.figures
        table.add_row(
            each.tier,
            each.hosted,
            _usd(figures.hosted_usd),
            _usd(figures.busy_usd),
            f"{figures.utilisation:.0%}",
            _usd(figures.owned_usd),
            "never" if figures.never_pays else f"{figures.at:.1%}",
            "-" if figures.never_pays else f"{figures.requests_per_day:,.0f}",
        )
    console.print(table)


def _usd(each: Decimal) -> str:
    return f"{each * THOUSAND:.3f}"
