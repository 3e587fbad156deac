"""`stepwell cache`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.console import output, print_json
from deploy.cli.given import AsJson

if TYPE_CHECKING:
    from cache.evaluate import Evaluated

cache = typer.Typer(no_args_is_help=True, help="Measure the semantic cache.")

Pairs = Annotated[
    Path,
    typer.Argument(
        metavar="PAIRS",
        help='JSON Lines, plain or .gz: {"a": a question, "b": another, "same": true or false}.',
        exists=True,
        dir_okay=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="A sentence-transformers model: a folder or a name (default: MiniLM)."),
]


@cache.command("evaluate")
def evaluate(pairs: Pairs, *, model: Model = None, as_json: AsJson = False) -> None:
    """Measure on labelled pairs how well the decision tells what may share an answer.

    Beside it plain cosine of the same embedder. AUC: how often a pair that may share an answer
    scores above one that may not. Served at f: the share of pairs that may, above the cut that a
    share f of the others is above too.
    """
    from cache.embedder.find import DEFAULT  # noqa: PLC0415
    from cache.evaluate import evaluate_pairs, read_pairs  # noqa: PLC0415

    found = evaluate_pairs(read_pairs(pairs), model or DEFAULT)
    if as_json:
        print_json(wire(found))
    else:
        _show(found)


def wire(found: "Evaluated") -> dict[str, Any]:
    """As JSON; figures are not rounded."""
    both = (("decision", found.decision), ("cosine", found.cosine))
    measures = {
        name: {"auc": of.auc, "served_at": {str(f): share for f, share in of.served_at.items()}}
        for name, of in both
    }
    return {"pairs": found.pairs, **measures}


def _show(found: "Evaluated") -> None:
    from rich.table import Table  # noqa: PLC0415

    from cache.measures import SHARES  # noqa: PLC0415
    from deploy.cli.console import columns  # noqa: PLC0415

    table: Table = columns(f"{found.pairs:,} pairs, {found.same:,} of them the same", "")
    for title in ("AUC", *(f"served at {f:.0%}" for f in SHARES)):
        table.add_column(title, justify="right")
    for name, of in (("decision", found.decision), ("cosine", found.cosine)):
        table.add_row(name, f"{of.auc:.3f}", *(f"{of.served_at[f]:.1%}" for f in SHARES))
    output().print(table)
