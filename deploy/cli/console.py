"""Where commands print: results to stdout, everything about them to stderr."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 160  # of tables in a pipe or a file, where rich would assume 80 columns


def output() -> "Console":
    """Stdout. Text is printed as it is: names from configurations are no markup."""
    return _console(stderr=False)


def errors() -> "Console":
    """Stderr."""
    return _console(stderr=True)


def say(console: "Console", line: str = "") -> None:
    """A line of text, never broken by us: it may hold a path or a message to search for."""
    console.print(line, soft_wrap=True)


def print_json(value: object) -> None:
    """To stdout, indented."""
    import orjson  # noqa: PLC0415
    import typer  # noqa: PLC0415

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def columns(title: str, *left: str) -> "Table":
    """A table without frame, so that it reads well in a file too, with these columns of text."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console  # noqa: PLC0415  `stepwell --help` starts without it

    console = Console(stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = max(PLAIN_WIDTH, console.width)
    return console
