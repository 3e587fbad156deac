"""`stepwell replay`."""

import os
from pathlib import Path
from typing import Annotated

import typer

KEY_ENV = "STEPWELL_API_KEY"


def replay(
    requests: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="REQUESTS.jsonl[.gz]",
            help='One request a line: {"text": …} or a chat body with "messages".',
        ),
    ],
    *,
    url: Annotated[str, typer.Option(help="The endpoint.")] = "http://127.0.0.1:8000/v1",
    api_key_env: Annotated[
        str | None,
        typer.Option(help=f"Environment variable with the API key (default: {KEY_ENV})."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send the first N lines.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1_000, help="Requests in flight.")] = 8,
    model: Annotated[str, typer.Option(help="`auto` or a tier; replaces the lines' own.")] = "auto",
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--no-stream", help="All answers (default: as the line says)."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Task class of lines that name none themselves.")
    ] = None,
    retries: Annotated[
        int,
        typer.Option(min=0, max=10, help="Of the client. More than 0 makes costs a lower bound."),
    ] = 0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds per request.")] = 300.0,
    json_out: Annotated[
        Path | None,
        typer.Option(
            "--json",
            dir_okay=False,
            writable=True,
            allow_dash=True,
            help="Write the figures to a file, - for stdout.",
        ),
    ] = None,
) -> None:
    """Send recorded requests and print what each tier did and cost.

    A line that is no request is reported and counted as an error; the others are sent.

    Exits with 1 when any request failed.
    """
    # The openai SDK takes half a second to import.
    from deploy.cli.replay.read import in_background, read  # noqa: PLC0415
    from deploy.cli.replay.run import Run, count_lines  # noqa: PLC0415
    from deploy.cli.replay.send import Target  # noqa: PLC0415

    if json_out is not None and not os.access(json_out.parent, os.W_OK):
        raise typer.BadParameter(f"can't write into {json_out.parent}", param_hint="--json")
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("not an http(s) URL", param_hint="--url")
    target = Target(url, api_key(api_key_env), model, task, stream, retries, timeout)
    run = Run(str(requests), target, concurrency=concurrency, json_out=json_out)
    tally = run(in_background(read(requests, limit)), total=lambda: count_lines(requests, limit))
    raise typer.Exit(1 if tally.errors else 0)


def api_key(env: str | None) -> str | None:
    """The key in the named variable, else the one in `STEPWELL_API_KEY`; None where none is set."""
    key = os.environ.get(env or KEY_ENV, "")
    if env is not None and not key:
        raise typer.BadParameter(f"{env} is not set", param_hint="--api-key-env")
    return key or None
