"""`stepwell prompt-cache`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import columns, errors, output, say

if TYPE_CHECKING:
    from cache.prompt.replay.costs import Costs, Terms, Total
    from serving.costs.price import Rates

DEFAULT_MODEL = "claude-opus-5-5"
FIXED = ("none", "always_5m", "always_1h")
POLICIES = (*FIXED, "planned", "oracle")

prompt_cache = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="What caching prompts at the provider saves.",
)


@prompt_cache.callback()
def group() -> None:
    """Keeps `plan` a command of its own while it is the only one."""


@prompt_cache.command("plan")
def plan(
    trace: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="TRACE.jsonl[.gz]",
            help="One prompt a line: t, prompt_tokens, completion_tokens, prefix_blocks.",
        ),
    ],
    *,
    model: Annotated[str, typer.Option(help="Whose prices and minimum length.")] = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print USD by policy as JSON.")] = False,
    stretch: Annotated[
        float, typer.Option(min=1e-6, max=1e6, help="Multiply all times by this.")
    ] = 1.0,
    first_token: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=3_600.0,
            metavar="SECONDS",
            help="From a request's start until what it wrote can be read.",
        ),
    ] = 0.0,
    with_output: Annotated[
        bool, typer.Option("--output/--no-output", help="Bill the completions, too.")
    ] = True,
) -> None:
    """Replay recorded prompts and print what caching would have cost: never, always, as the planner
    decides from what came before, and as one would plan who knew what comes.
    """
    import orjson  # noqa: PLC0415

    from cache.prompt.replay.costs import replay  # noqa: PLC0415
    from cache.prompt.replay.trace import read  # noqa: PLC0415

    terms = _terms(model, first_token, with_output=with_output)
    requests = read(trace, stretch=stretch)
    with _bar(len(requests)) as advanced:
        costs = replay(requests, terms, advanced=advanced)
    if as_json:
        typer.echo(orjson.dumps(_usd(costs)).decode())
    else:
        _show(costs, terms, f"{model}, {trace.name}")


def _usd(costs: "Costs") -> dict[str, float]:
    return {name: round(float(getattr(costs, name).usd), 9) for name in POLICIES}


def _terms(model: str, first_token: float, *, with_output: bool) -> "Terms":
    """The latest price of the model and the shortest prefix that it stores."""
    import datetime  # noqa: PLC0415

    from cache.prompt.replay.costs import Terms  # noqa: PLC0415
    from serving.costs.rate_card import RateCard  # noqa: PLC0415
    from serving.hosted.models import catalog  # noqa: PLC0415

    card, abilities = RateCard.load(), catalog()
    price = card.price(model, datetime.date.max)
    ability = abilities.find(model)
    if price is None or ability is None:
        known = ", ".join(sorted(set(card.models) & set(abilities.models)))
        raise typer.BadParameter(f"{model} is not known; known: {known}", param_hint="--model")
    return Terms(price, ability.min_cacheable, first_token, with_output)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr where that is a terminal."""
    console = errors()
    if not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("replay", total=total)
        yield lambda: progress.advance(bar)


def _show(costs: "Costs", terms: "Terms", title: str) -> None:
    console = output()
    table = columns(title, "policy")
    for name in ("USD", "of none", "read", "written 5m", "written 1h", "plain"):
        table.add_column(name, justify="right")
    for name in POLICIES:
        total: Total = getattr(costs, name)
        parts = (total.read, total.write_5m, total.write_1h, total.plain)
        share = _share(total.usd, costs.none.usd)
        table.add_row(name, f"{total.usd:,.4f}", share, *(f"{part / 1e6:,.3f}M" for part in parts))
    table.add_row("bound", f"{costs.bound:,.4f}", _share(costs.bound, costs.none.usd))
    console.print(table)
    for line in (_verdict(costs), *_assumed(costs, terms)):
        say(console, line)


def _verdict(costs: "Costs") -> str:
    """The planner beside the best of what needs no planner."""
    name = min(FIXED, key=lambda policy: getattr(costs, policy).usd)
    best, planned = getattr(costs, name).usd, costs.planned.usd
    gap, most = best - costs.oracle.usd, best - costs.bound
    closed = f" and closes {_share(best - planned, gap)} of its gap to the oracle" if gap else ""
    closed += f", {_share(best - planned, most)} of that to the bound" if gap else ""
    more = "less" if planned <= best else "more"
    return f"planned costs {_share(abs(best - planned), best)} {more} than {name}{closed}"


def _assumed(costs: "Costs", terms: "Terms") -> Iterator[str]:
    """What the figures rest on, line by line."""
    price, long = terms.price, terms.price.long_context
    yield f"{costs.requests:,} requests over {costs.seconds / 3_600:,.2f} h; tokens of prompts in M"
    yield f"USD/MTok: {_rates(price.rates)}; {price.source}"
    if long is not None:
        yield f"prompts over {long.above:,} tokens: {_rates(long.rates)}"
    billed = f"output included: {costs.output_usd:,.4f}" if terms.output else "input only"
    yield f"{billed}; prefixes under {terms.minimum:,} tokens are not stored"
    yield f"what a request writes can be read {terms.begins_s:g} s after its start"
    yield "always: breakpoints at the end and three places before it, by the cheaper of two habits"
    yield "planned: from what came before; oracle: the cheapest plan found that knows all prompts"
    yield "bound: no plan can cost less, whatever it knows"


def _rates(rates: "Rates") -> str:
    named = {
        "input": rates.input,
        "read": rates.cache_read,
        "write 5m": rates.cache_write,
        "write 1h": rates.cache_write_1h,
        "output": rates.output,
    }
    return ", ".join(f"{name} {float(usd * 1_000_000):g}" for name, usd in named.items())


def _share(part: Decimal, whole: Decimal) -> str:
    return f"{part / whole:.1%}" if whole else "-"
