"""Prints the tally: a table per tier, why requests climbed, what it cost, and what went wrong."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from deploy.cli.console import columns, say
from deploy.cli.replay.sums import Money, percentiles
from deploy.cli.replay.tally import Tally, TierTally

UNKNOWN = "unknown"
HITS = ("exact hits", "semantic hits")
MAX_SHOWN = 10  # failures and reasons; `--json` has all


def show(console: Console, tally: Tally) -> None:
    console.print(_answers(tally))
    console.print(_costs(tally))
    if any(tier.escalated for tier in tally.tiers.values()):
        console.print(_escalations(tally))
    for line in (*_totals(tally), *_notes(tally)):
        say(console, line)
    if tally.failures:
        console.print(_failures(tally))


def _answers(tally: Tally) -> Table:
    """Times are those of whole requests as the client saw them, and of its first tokens where
    answers were streamed.
    """
    table = columns(_title("Answers", tally), "tier")
    for name in ("answered", "accepted", "best effort", "escalated", "failed", *HITS):
        table.add_column(name, justify="right")
    for name in ("p50 ms", "p95 ms", "p99 ms", "first token p50"):
        table.add_column(name, justify="right")
    tiers = tally.tiers.values()
    for name, tier in tally.tiers.items():
        judged = _judged(tier.answered, [tier])
        table.add_row(_name(name, tier), *judged, *_times(tier.latency_ms, tier.ttft_ms))
    if len(tally.tiers) > 1:
        table.add_section()
        judged = _judged(tally.answered, tiers)
        table.add_row("all", *judged, *_times(tally.latency_ms, tally.ttft_ms))
    return table


def _costs(tally: Tally) -> Table:
    table = columns(_title("Cost", tally), "tier")
    for name in ("attempts", "tokens in", "tokens out", "cost $", "baseline $"):
        table.add_column(name, justify="right")
    for name, tier in tally.tiers.items():
        took = tier.count
        counted = (took.attempts, took.prompt_tokens, took.completion_tokens)
        money = usd(tier.cost), usd(tier.baseline)
        table.add_row(_name(name, tier), *(f"{n:,}" for n in counted), *money)
    if len(tally.tiers) > 1:
        table.add_section()
        counted = (tally.attempts, tally.prompt_tokens, tally.completion_tokens)
        money = usd(tally.cost), usd(tally.baseline)
        table.add_row("all", *(f"{n:,}" for n in counted), *money)
    return table


def _title(title: str, tally: Tally) -> str:
    return f"{title} (simulated)" if tally.simulated else title


def _name(name: str, tier: TierTally) -> str:
    return f"{name} ~" if tier.simulated else name


def _judged(answered: int, tiers: Iterable[TierTally]) -> list[str]:
    tiers = list(tiers)

    def count(*outcomes: str) -> int:
        return sum(tier.outcomes[o] for tier in tiers for o in outcomes)

    counts = [answered, count("accepted"), count("best_effort"), count("escalated")]
    semantic = sum(tier.semantic for tier in tiers)
    exact = sum(tier.hits.attempts for tier in tiers) - semantic
    counts += [count("failed", "cancelled"), exact, semantic]
    return [f"{n:,}" for n in counts]


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
        f"requests {tally.requests:,}: {tally.answered:,} answered, {tally.errors:,} errors "
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
