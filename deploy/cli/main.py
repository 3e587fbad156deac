"""The `stepwell` command. Commands import what they need when they run, so that it starts fast."""

from typing import Any

import typer
from typer.core import TyperGroup

from deploy.cli.batch.command import batch
from deploy.cli.cache import cache
from deploy.cli.cache_purge import purge
from deploy.cli.cache_stats import stats
from deploy.cli.cache_warm import warm
from deploy.cli.check import check
from deploy.cli.demo.command import demo
from deploy.cli.emulator import emulator
from deploy.cli.hash_key import hash_key
from deploy.cli.k8s import k8s
from deploy.cli.outcomes import outcomes
from deploy.cli.prompt_cache import prompt_cache
from deploy.cli.replay.command import replay
from deploy.cli.report import report
from deploy.cli.serve import serve
from serving.errors import ConfigError, StepwellError

WRONG_CONFIG = 2


class Commands(TyperGroup):
    """Prints Stepwell's own errors as one line: they are written for the reader, a traceback is
    not. Exit codes: 2 where the configuration or the command line is wrong, else 1.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StepwellError as error:
            typer.echo(f"error: {error.message}", err=True)
            raise typer.Exit(WRONG_CONFIG if isinstance(error, ConfigError) else 1) from error


app = typer.Typer(
    name="stepwell",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # they may hold keys
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Answer each LLM request at the cheapest tier whose answer passes.",
)


def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    typer.echo(installed("stepwell"))


app.command("serve")(serve)
app.command("check")(check)
app.command("replay")(replay)
app.command("report")(report)
app.command("demo")(demo)
cache.command("stats")(stats)
cache.command("purge")(purge)
cache.command("warm")(warm)
app.add_typer(batch, name="batch")
app.add_typer(cache, name="cache")
app.add_typer(outcomes, name="outcomes")
app.add_typer(prompt_cache, name="prompt-cache")
app.add_typer(k8s, name="k8s")
app.command("emulator")(emulator)
app.command("hash-key")(hash_key)
app.command("version")(version)
