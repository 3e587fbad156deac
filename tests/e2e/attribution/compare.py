"""What a lever is said to have saved, beside what was measured without it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rich.table import Table

from deploy.cli.console import columns
from tests.e2e.attribution.run import Replayed, replay
from tests.e2e.attribution.workload import LEVERS, Ask

ZERO = Decimal(0)
ALL = frozenset(LEVERS)
Runs = Mapping[frozenset[str], Replayed]


def up_to(lever: str | None) -> frozenset[str]:
    """The levers up to and with this one, in their order; none for None."""
    return frozenset(LEVERS[: LEVERS.index(lever) + 1]) if lever else frozenset()


def before(lever: str) -> tuple[str, ...]:
    return LEVERS[: LEVERS.index(lever)]


def behind(lever: str) -> tuple[str, ...]:
    return LEVERS[LEVERS.index(lever) + 1 :]


async def runs(asks: Sequence[Ask], folder: Path, *, one_tokenizer: bool = True) -> Runs:
    """One with each number of levers in their order, and one without each."""
    sets = {up_to(lever) for lever in (None, *LEVERS)} | {ALL - {lever} for lever in LEVERS}
    found: dict[frozenset[str], Replayed] = {}
    for number, on in enumerate(sorted(sets, key=lambda on: (len(on), sorted(on)))):
        own = folder / str(number)
        own.mkdir(parents=True)
        found[on] = await replay(asks, on, own, one_tokenizer=one_tokenizer)
    return found


@dataclass(frozen=True, slots=True)
class Ablation:
    """One lever less, USD. `measured`: what the run costs more without it. `reported`: its part
    with it. `later` and `earlier`: what the levers behind it and before it saved more without it.
    `overhead`: what checks and unanswered attempts cost more with it, never positive for the lever
    that needs them. `estimate`: by how much the two baselines differ, since tiers split text into
    different tokens, and a semantic hit has those of another question.
    """

    lever: str
    measured: Decimal
    reported: Decimal
    later: Decimal
    overhead: Decimal
    estimate: Decimal
    earlier: Decimal

    @property
    def expected(self) -> Decimal:
        """Of what is documented to be measured."""
        return self.reported - self.later - self.earlier + self.overhead + self.estimate

    @property
    def off(self) -> Decimal:
        return self.measured - self.expected


def ablation(lever: str, with_it: Replayed, without: Replayed) -> Ablation:
    def more(levers: Sequence[str]) -> Decimal:
        return sum((without.part(n) - with_it.part(n) for n in levers), ZERO)

    return Ablation(
        lever=lever,
        measured=without.spend - with_it.spend,
        reported=with_it.part(lever),
        later=more(behind(lever)),
        overhead=with_it.overhead - without.overhead,
        estimate=without.line.baseline_usd - with_it.line.baseline_usd,
        earlier=more(before(lever)),
    )


def build_up(found: Runs) -> Iterator[Ablation]:
    """Each lever on top of those before it, without any behind it."""
    for lever, last in zip(LEVERS, (None, *LEVERS), strict=False):
        yield ablation(lever, found[up_to(lever)], found[up_to(last)])


def one_off(found: Runs) -> Iterator[Ablation]:
    """Each lever switched off alone."""
    for lever in LEVERS:
        yield ablation(lever, found[ALL], found[ALL - {lever}])


def table(title: str, of: Sequence[Ablation]) -> Table:
    shown = columns(title, "lever")
    names = ("measured", "reported", "later", "earlier", "overhead", "estimate", "off")
    for name in names:
        shown.add_column(name, justify="right")
    for one in of:
        shown.add_row(one.lever, *(f"{getattr(one, name):,.6f}" for name in names))
    return shown


def parts_table(found: Runs) -> Table:
    """Baseline, parts and spend of the run with everything on."""
    run = found[ALL]
    shown = columns("All levers on, USD", "")
    shown.add_column("", justify="right")
    shown.add_row("baseline", f"{run.line.baseline_usd:,.6f}")
    for lever in LEVERS:
        shown.add_row(lever, f"{run.part(lever):,.6f}")
    shown.add_row("checks", f"{run.line.parts.checks:,.6f}")
    shown.add_row("unanswered", f"{run.line.parts.unanswered:,.6f}")
    shown.add_row("spend", f"{run.spend:,.6f}")
    return shown
