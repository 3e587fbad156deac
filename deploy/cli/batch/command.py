"""`stepwell batch run` and `stepwell batch status`: their options."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.replay.command import KEY_ENV, api_key
from serving.errors import StepwellError

batch = typer.Typer(no_args_is_help=True, help="Answer a file of requests that can wait.")

METADATA_KEYS = 16  # as OpenAI has it

Url = Annotated[str, typer.Option(help="The endpoint.")]
KeyEnv = Annotated[
    str | None,
    typer.Option(help=f"Environment variable with the API key (default: {KEY_ENV})."),
]
LOCAL = "http://127.0.0.1:8000/v1"


@batch.command("run")
def run(
    requests: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="IN.jsonl[.gz]",
            help='One request a line: a batch line, a chat body with "messages" or {"text": …}.',
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", dir_okay=False, help="Where the results go."),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option("--errors", dir_okay=False, help="Lines that failed go here instead."),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="BATCH_ID", help="Wait for this batch; nothing is sent."),
    ] = None,
    window: Annotated[str, typer.Option(help="When it must be done: 24h, 90m …")] = "24h",
    model: Annotated[
        str | None,
        typer.Option(help="`auto` or a tier; replaces the lines' own (which default to `auto`)."),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label; may be repeated.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Told when the batch has ended.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the results, or only send.")
    ] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Send the first N lines.")] = None,
    url: Url = LOCAL,
    api_key_env: KeyEnv = None,
) -> None:
    """Send a file of requests as one batch, wait, and write the results in the file's order.

    Ctrl-C leaves the batch running; --resume comes back to it. A file of results is written whole
    or not at all.

    Exits with 0 where all lines succeeded, 1 where some failed or the batch did, 2 where the input
    or the command line is wrong.
    """
    # The openai SDK takes half a second to import.
    from deploy.cli.batch.run import Order, Places, Run  # noqa: PLC0415
    from deploy.cli.batch.server import Server  # noqa: PLC0415

    if (requests is None) == (resume is None):
        raise typer.BadParameter("give a file of requests, or --resume BATCH_ID", param_hint="IN")
    if not wait and errors is not None:
        raise typer.BadParameter("there are no results without waiting", param_hint="--errors")
    if wait and out is None:
        raise typer.BadParameter("say where the results go, or --no-wait", param_hint="-o")
    if resume is not None and not wait:
        raise typer.BadParameter(
            "`stepwell batch status` asks without waiting", param_hint="--no-wait"
        )
    labels = _labels(metadata or [], webhook)
    places: Places | None = None
    if wait and out is not None:
        apart = None if errors is None else _writable(errors, "--errors")
        places = Places(_writable(out, "-o"), apart)
        if places.out == places.errors:
            raise typer.BadParameter("must be another file than -o", param_hint="--errors")
    with Server(_endpoint(url), api_key(api_key_env)) as server:
        running = Run(server, places, same=_same(url, api_key_env))
        try:
            if requests is None:
                code = running.resume(str(resume))
            else:
                code = running.send(requests, Order(window, labels, model, limit))
        except OSError as error:  # a full disk, mostly
            raise StepwellError(f"cannot write: {error}") from None
    raise typer.Exit(code)


@batch.command("status")
def status(
    batch_id: Annotated[
        str | None,
        typer.Argument(metavar="[BATCH_ID]", help="One batch; by default the latest are listed."),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="List so many.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = LOCAL,
    api_key_env: KeyEnv = None,
) -> None:
    """Show how far batches are, what they cost so far, and what that saves."""
    from deploy.cli.batch.server import Server  # noqa: PLC0415
    from deploy.cli.batch.status import show_latest, show_one  # noqa: PLC0415

    with Server(_endpoint(url), api_key(api_key_env)) as server:
        if batch_id is None:
            show_latest(server, limit, as_json=as_json)
        else:
            show_one(server, batch_id, as_json=as_json)


def _labels(pairs: list[str], webhook: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--metadata")
        if key in found:
            raise typer.BadParameter(f"{key!r} stands twice", param_hint="--metadata")
        found[key] = value
    if webhook is not None:
        if "webhook_url" in found:
            raise typer.BadParameter("--metadata names a webhook_url too", param_hint="--webhook")
        found["webhook_url"] = webhook
    if len(found) > METADATA_KEYS:
        raise typer.BadParameter(f"at most {METADATA_KEYS}", param_hint="--metadata")
    return found


def _writable(path: Path, option: str) -> Path:
    """Whether it can be written is better known before a batch has run for a day."""
    path = path.resolve()
    if not os.access(path.parent, os.W_OK):
        raise typer.BadParameter(f"can't write into {path.parent}", param_hint=option)
    return path


def _same(url: str, api_key_env: str | None) -> str:
    """Options as they were given, for a command that is to reach the same server."""
    same = "" if url == LOCAL else f" --url {shlex.quote(url)}"
    return same if api_key_env is None else f"{same} --api-key-env {shlex.quote(api_key_env)}"


def _endpoint(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("not an http(s) URL", param_hint="--url")
    return url
