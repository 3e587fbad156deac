"""The results of a batch, in the order of its input, in one file or two: whole, or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO

from deploy.cli.batch.prepare import custom_ids
from serving.errors import StepwellError
from serving.wire.jsonl_file import NotAnObject, parse_object


@dataclass(frozen=True, slots=True)
class Places:
    """Where results go; without `errors` those that failed stand among the others."""

    out: Path
    errors: Path | None = None


@dataclass(frozen=True, slots=True)
class _At:
    """Where in which of the downloaded files a line stands."""

    failed: bool
    offset: int
    length: int


@dataclass(slots=True)
class Written:
    succeeded: int = 0
    failed: int = 0


def write_results(
    places: Places, sent: Path | None, succeeded: Path | None, failed: Path | None
) -> Written:
    """Puts together what was downloaded, in the order of the file that was `sent`; where that is
    not there any more, lines that succeeded first. None for a file that does not exist.
    `StepwellError`, and nothing is written, where they do not fit together.
    """
    index: dict[bytes, _At] = {}
    for path, bad in ((succeeded, False), (failed, True)):
        if path is not None:
            _read(path, bad, index)
    done = Written()
    with ExitStack() as stack:
        files = {
            bad: stack.enter_context(path.open("rb"))
            for path, bad in ((succeeded, False), (failed, True))
            if path is not None
        }
        written = stack.enter_context(_whole([p for p in (places.out, places.errors) if p]))
        out, err = written[0], written[-1]
        for at in _in_order(index, sent):
            file = files[at.failed]
            file.seek(at.offset)
            (err if at.failed else out).write(file.read(at.length).strip() + b"\n")
            done.failed += at.failed
            done.succeeded += not at.failed
    return done


def _read(path: Path, failed: bool, index: dict[bytes, _At]) -> None:
    with path.open("rb") as file:
        offset = 0
        for raw in file:
            if raw.strip():
                key = _mark(_custom_id(raw))
                if key in index:
                    raise StepwellError("the server's files hold two results of one line")
                index[key] = _At(failed, offset, len(raw))
            offset += len(raw)


def _in_order(index: dict[bytes, _At], sent: Path | None) -> Iterator[_At]:
    """Every result once, and one for every line that was sent."""
    if sent is None:
        yield from index.values()
        return
    left = len(index)
    for custom_id in custom_ids(sent):
        at = index.get(_mark(custom_id))
        if at is None:
            raise StepwellError("the server's files lack the result of a line; nothing was written")
        yield at
        left -= 1
    if left:
        raise StepwellError("the server's files hold results that nobody asked for")


def _custom_id(raw: bytes) -> str:
    try:
        return str(parse_object(raw)["custom_id"])
    except (NotAnObject, KeyError):
        raise StepwellError("the server's files hold what is no result") from None


def _mark(custom_id: str) -> bytes:
    """A digest each: 50,000 long ids would hold more memory than all else."""
    return blake2b(custom_id.encode("utf-8", "replace"), digest_size=16).digest()


@contextmanager
def _whole(paths: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Files beside these that take their places once all are on the disk, and are gone after an
    error.
    """
    beside = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    try:
        with ExitStack() as stack:
            files: list[IO[bytes]] = [stack.enter_context(path.open("wb")) for path in beside]
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for part, path in zip(beside, paths, strict=True):
            part.replace(path)
    finally:
        for part in beside:
            part.unlink(missing_ok=True)
