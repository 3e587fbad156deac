"""`stepwell k8s`."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import errors, say

k8s = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="What a configuration amounts to on Kubernetes.",
)


@k8s.callback()
def _group() -> None:
    """Without it, typer would make the one command the group's own."""


@k8s.command("render")
def render(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML configuration.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A folder for the files (default: all to stdout)."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Write nothing; exit with 1 where --out differs.")
    ] = False,
) -> None:
    """Render Ray Serve's configuration, worker groups and Ray's flags as a Kustomize component."""
    from deploy.kube.render import rendered  # noqa: PLC0415

    files = rendered(config)
    if out is None:
        if verify:
            raise typer.BadParameter("--verify needs --out")
        for name, text in files.items():
            typer.echo(f"---\n# {name}\n{text}", nl=False)
        return
    stale = [n for n, text in files.items() if not _holds(out / n, text)]
    if verify:
        for name in stale:
            say(errors(), f"{out / name} is not what {config} renders to")
        raise typer.Exit(1 if stale else 0)
    out.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (out / name).write_text(files[name], "utf-8")
        say(errors(), f"wrote {out / name}")


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text
