"""`stepwell batch run`: from a file of requests to a file of results."""

import shlex
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from openai.types import Batch

from deploy.cli.batch.follow import until_ended
from deploy.cli.batch.prepare import Prepared, Preparer
from deploy.cli.batch.results import Places, write_results
from deploy.cli.batch.server import NoAnswer, Refused, Server
from deploy.cli.batch.show import show_batch, show_errors
from deploy.cli.console import errors, output, say

__all__ = ["Order", "Places", "Run"]

MAX_COMPLAINTS = 20
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Order:
    """How a file is to be sent. `model` replaces the lines' own; `limit` cuts the file."""

    window: str
    labels: Mapping[str, str]
    model: str | None = None
    limit: int | None = None


class Run:
    """Without `places` it does not wait. Methods return the exit code: 0 where all lines succeeded,
    1 where some failed or the batch did. What they raise is a `StepwellError`.
    """

    def __init__(self, server: Server, places: Places | None, *, same: str = "") -> None:
        """`same`: options that lead another command to the same server."""
        self._server = server
        self._places = places
        self._same = same
        self._console = errors()

    def send(self, source: Path, order: Order) -> int:
        with tempfile.TemporaryDirectory(prefix="stepwell-batch-") as folder:
            sent = Path(folder) / "sent.jsonl"
            prepared = self._prepare(source, sent, order)
            say(self._console, f"sending {prepared.lines:,} lines, {prepared.bytes:,} bytes")
            batch = self._submit(sent, prepared, order)
            if self._places is None:
                say(output(), batch.id)
                self._say_how(batch.id, "-o RESULTS.jsonl")
                return 0
            return self._bring(batch, Path(folder), sent, prepared.numbers)

    def resume(self, batch_id: str) -> int:
        batch = self._server.retrieve(batch_id)
        with tempfile.TemporaryDirectory(prefix="stepwell-batch-") as folder:
            return self._bring(batch, Path(folder), None, None)

    def _prepare(self, source: Path, sent: Path, order: Order) -> Prepared:
        complaints = 0

        def complain(number: int, why: str) -> None:
            nonlocal complaints
            complaints += 1
            if complaints <= MAX_COMPLAINTS:
                say(self._console, f"{source}:{number}: {why}")
            elif complaints == MAX_COMPLAINTS + 1:
                say(self._console, f"{source}: further bad lines are counted, not listed")

        with sent.open("wb") as file:
            preparer = Preparer(order.model)
            return preparer.prepare(source, file, limit=order.limit, complain=complain)

    def _submit(self, sent: Path, prepared: Prepared, order: Order) -> Batch:
        try:
            with sent.open("rb") as file:
                uploaded = self._server.upload(file)
        except KeyboardInterrupt:
            say(self._console, "interrupted; nothing was begun")
            raise typer.Exit(INTERRUPTED) from None
        try:
            batch = self._server.create(uploaded.id, prepared.endpoint, order.window, order.labels)
        except Refused:
            self._server.forget(uploaded.id)
            raise
        except (NoAnswer, KeyboardInterrupt) as error:
            say(self._console, "whether the batch was begun, `stepwell batch status` says")
            if isinstance(error, KeyboardInterrupt):
                raise typer.Exit(INTERRUPTED) from None
            raise
        say(self._console, f"{batch.id}: begun")
        return batch

    def _bring(
        self, batch: Batch, folder: Path, sent: Path | None, numbers: "array[int] | None"
    ) -> int:
        assert self._places is not None, "whoever waits has a place for the results"
        with self._coming_back(batch.id, self._places):
            batch = until_ended(self._server, batch)
            if batch.status == "failed":
                show_errors(self._console, batch, numbers)
                say(self._console, f"{batch.id} failed; no results were written")
                return 1
            if batch.output_file_id is None and batch.error_file_id is None:
                say(
                    self._console,
                    f"{batch.id} {batch.status} before it began; there are no results",
                )
                return 1
            written = write_results(
                self._places,
                sent or self._fetched(batch.input_file_id, folder / "sent.jsonl", gone=True),
                self._fetched(batch.output_file_id, folder / "output.jsonl"),
                self._fetched(batch.error_file_id, folder / "errors.jsonl"),
            )
        show_batch(output(), batch)
        return 0 if batch.status == "completed" and not written.failed else 1

    def _fetched(self, file_id: str | None, target: Path, *, gone: bool = False) -> Path | None:
        """None of no file, and where it may be `gone` of one that is."""
        if file_id is None:
            return None
        try:
            self._server.download(file_id, target)
        except Refused:
            if not gone:
                raise
            say(self._console, "the input is not on the server any more: the order may be another")
            return None
        return target

    @contextmanager
    def _coming_back(self, batch_id: str, places: Places) -> Iterator[None]:
        """However the waiting ends before its time, the batch is not lost, and this says so."""
        options = f"-o {shlex.quote(str(places.out))}"
        if places.errors is not None:
            options += f" --errors {shlex.quote(str(places.errors))}"
        try:
            yield
        except BaseException as error:
            self._say_how(batch_id, options)
            if isinstance(error, KeyboardInterrupt):
                raise typer.Exit(INTERRUPTED) from None
            raise

    def _say_how(self, batch_id: str, options: str) -> None:
        again = f"stepwell batch run --resume {batch_id} {options}{self._same}"
        say(self._console, f"{batch_id} goes on without you; to come back: {again}")
        say(self._console, f"to see how far it is: stepwell batch status {batch_id}{self._same}")
