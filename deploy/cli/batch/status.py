"""`stepwell batch status`."""

import sys
from typing import Any

import orjson
from openai.types import Batch

from deploy.cli.batch.server import Server
from deploy.cli.batch.show import show_batch, show_errors, show_list
from deploy.cli.console import output, say


def show_one(server: Server, batch_id: str, *, as_json: bool) -> None:
    batch = server.retrieve(batch_id)
    if as_json:
        _json(_wire(batch))
        return
    console = output()
    show_batch(console, batch)
    show_errors(console, batch)


def show_latest(server: Server, limit: int, *, as_json: bool) -> None:
    found = server.latest(limit)
    if as_json:
        _json([_wire(batch) for batch in found])
    elif found:
        show_list(output(), found)
    else:
        say(output(), "There are no batches.")


def _wire(batch: Batch) -> dict[str, Any]:
    """As the server wrote it."""
    return batch.model_dump(mode="json", exclude_unset=True)


def _json(value: object) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
