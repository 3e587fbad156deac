"""Prints the tally: a table per tier, why requests climbed, what it cost, and what went wrong."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from deploy.cli.console import columns, say
from deploy.cli.replay.sums import Money, percentiles
from deploy.cli.replay.tally import Tally, TierTally

UNKNOWN = "unknown"
MAX_SHOWN = 10  # failures and reasons; `--json` has all


def show(console: Console, tally: Tally) -> None:
    console.print(_tiers(tally))
    if any(tier.escalated for tier in tally.tiers.values()):
        console.print(_escalations(tally))
    for line in (*_totals(tally), *_notes(tally)):
        say(console, line)
    if tally.failures:
        console.print(_failures(tally))


def _tiers(tally: Tally) -> Table:
    streamed = bool(tally.ttft_ms)
    title = "Replay (simulated)" if tally.simulated else "Replay"
    table = columns(title, "tier")
    first = "first token" if streamed else "first token of the tier"
    names = ["answered", "accepted", "best effort", "escalated", "failed", "cached", "tokens in"]
    names += ["tokens out", "cost $", "baseline $", "p50 ms", "p95 ms", "p99 ms", f"{first} p50 ms"]
    for name in names:
        table.add_column(name, justify="right")
    for name, tier in tally.tiers.items():
        table.add_row(name + (" ~" if tier.simulated else ""), *_cells(tier, streamed=streamed))
    if len(tally.tiers) > 1:
        table.add_section()
        table.add_row("all", *_all_cells(tally, streamed=streamed))
    return table


def _cells(tier: TierTally, *, streamed: bool) -> list[str]:
    return [
        f"{tier.answered:,}",
        f"{tier.outcomes['accepted']:,}",
        f"{tier.outcomes['best_effort']:,}",
        f"{tier.outcomes['escalated']:,}",
        f"{tier.outcomes['failed'] + tier.outcomes['cancelled']:,}",
        f"{tier.hits.attempts:,}",
        f"{tier.count.prompt_tokens:,}",
        f"{tier.count.completion_tokens:,}",
        usd(tier.cost),
        usd(tier.baseline),
        *_times(tier.latency_ms, tier.ttft_ms if streamed else tier.tier_ttft_ms),
    ]


def _all_cells(tally: Tally, *, streamed: bool) -> list[str]:
    tiers = tally.tiers.values()

    def judged(*outcomes: str) -> str:
        return f"{sum(t.outcomes[o] for t in tiers for o in outcomes):,}"

    return [
        f"{tally.answered:,}",
        judged("accepted"),
        judged("best_effort"),
        judged("escalated"),
        judged("failed", "cancelled"),
        f"{tally.cache_hits:,}",
        f"{tally.prompt_tokens:,}",
        f"{tally.completion_tokens:,}",
        usd(tally.cost),
        usd(tally.baseline),
        *_times(tally.latency_ms, tally.ttft_ms if streamed else ()),
    ]


def _times(latency_ms: Sequence[float], ttft_ms: Sequence[float]) -> list[str]:
    whole, first = percentiles(latency_ms), percentiles(ttft_ms)
    cells = [f"{ms:,.0f}" for ms in (whole.p50, whole.p95, whole.p99)] if whole else ["-"] * 3
    return [*cells, f"{first.p50:,.0f}" if first else "-"]


def _escalations(tally: Tally) -> Table:
    table = columns("Escalated", "tier", "reason")
    table.add_column("times", justify="right")
    for name, tier in tally.tiers.items():
        shown = tier.escalated.most_common(MAX_SHOWN)
        for reason, count in shown:
            table.add_row(name, reason, f"{count:,}")
        rest = tier.escalated.total() - sum(count for _, count in shown)
        if rest:
            table.add_row(name, "other reasons", f"{rest:,}")
    return table


def _totals(tally: Tally) -> list[str]:
    speed = tally.requests / tally.elapsed_s if tally.elapsed_s else 0.0
    lines = [
        f"{tally.requests:,} requests, {tally.answered:,} answered, {tally.errors:,} errors "
        f"in {tally.elapsed_s:,.1f} s ({speed:,.0f}/s)",
        f"cost {usd(tally.cost)} USD, baseline {usd(tally.baseline)} USD",
    ]
    saved = tally.saved_usd
    if saved is not None:
        known = tally.baseline.known
        share = f" ({saved / known:.1%})" if known else ""
        lines[-1] += f", saved {_amount(saved)} USD{share}"
    return lines


def _notes(tally: Tally) -> list[str]:
    notes = []
    if tally.simulated:
        notes.append("~ simulated: answers, tokens, times and so the money are of mock tiers.")
    if tally.cost.unknown:
        notes.append(
            f"Attempts without a known price: {tally.cost.unknown:,}; sums marked + lack them."
        )
    if tally.untraced:
        notes.append(
            f"Answers without a route trace: {tally.untraced:,}; their attempts, cost and baseline "
            "are not known."
        )
    if tally.cut_off:
        notes.append(
            f"Requests cut off without a verdict: {tally.cut_off:,}; what they cost is not known."
        )
    return notes


def _failures(tally: Tally) -> Table:
    table = columns("Errors", "error", "count", "first at line", "message")
    for kind, count in tally.failures.most_common(MAX_SHOWN):
        sample = tally.samples[kind]
        table.add_row(kind, f"{count:,}", str(sample.line), sample.message)
    return table


def usd(money: Money) -> str:
    """Rounded for reading; `+` where attempts of unknown price come on top."""
    if money.usd is None:
        return UNKNOWN
    return _amount(money.usd) + ("+" if money.unknown else "")


def _amount(value: Decimal) -> str:
    return f"{value:,.6f}" if abs(value) < 1 else f"{value:,.4f}"
