"""The file that is sent, made of the file that was given: checked, in bounded memory."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson

from deploy.cli.replay.read import BadLine, parse
from serving.errors import ConfigError
from serving.wire.jsonl_file import NotAnObject, numbered, parse_object

CHAT = "/v1/chat/completions"
KEYS = ("custom_id", "method", "url", "body")
DEFAULT_MODEL = "auto"
STREAMING = ("stream", "stream_options")

Complain = Callable[[int, str], None]
"""Hears the number of a line and why it is no request."""


@dataclass(slots=True)
class Prepared:
    """`numbers`: of each line that is sent, the number in the file that was given."""

    endpoint: str = CHAT
    bytes: int = 0
    numbers: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def lines(self) -> int:
        return len(self.numbers)


class _NoRequest(Exception):
    """Why a line is none; the line is not quoted."""


class Preparer:
    """Writes lines of a batch. A line that is one already stays as it is, byte by byte; what it
    lacks of `custom_id` (`line-` and its number), `method`, `url` and model is added.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._seen: set[bytes] = set()
        self._prepared = Prepared()

    def prepare(
        self, source: Path, target: IO[bytes], *, limit: int | None, complain: Complain
    ) -> Prepared:
        """`ConfigError` where the file cannot be read, holds no requests, or lines that are none:
        every one of them has been complained about then.
        """
        bad, prepared = 0, self._prepared
        for number, raw in islice(_lines(source), limit):
            try:
                line = self._line(number, raw)
            except (_NoRequest, NotAnObject) as why:
                complain(number, str(why))
                bad += 1
                continue
            target.write(line)
            prepared.bytes += len(line)
            prepared.numbers.append(number)
        target.flush()
        if bad:
            lines = "1 line is" if bad == 1 else f"{bad:,} lines are"
            raise ConfigError(f"{source}: {lines} no request; nothing was sent")
        if not prepared.lines:
            raise ConfigError(f"{source}: there are no requests in it")
        return prepared

    def _line(self, number: int, raw: bytes) -> bytes:
        value = parse_object(raw)
        whole = "body" in value and "messages" not in value
        found = _batch_line(value) if whole else _of_chat(number, raw, value)
        body = found["body"]
        model = self._model or body.get("model", DEFAULT_MODEL)
        found = {
            "custom_id": found.get("custom_id", f"line-{number}"),
            "method": found.get("method", "POST"),
            "url": found.get("url", CHAT),
            "body": body if body.get("model") == model else {**body, "model": model},
        }
        self._check(found)
        if whole and all(value.get(key) == found[key] for key in KEYS):
            return raw.strip() + b"\n"
        return orjson.dumps(found) + b"\n"

    def _check(self, found: dict[str, Any]) -> None:
        custom_id, url = found["custom_id"], found["url"]
        if not isinstance(custom_id, str) or not custom_id:
            raise _NoRequest("`custom_id` is not a text with content")
        mark = _mark(custom_id)
        if mark in self._seen:
            raise _NoRequest("its `custom_id` stands further up already")
        self._seen.add(mark)
        if not isinstance(url, str):
            raise _NoRequest("`url` is not a text")
        if len(self._seen) == 1:
            self._prepared.endpoint = url
        elif url != self._prepared.endpoint:
            raise _NoRequest("`url` is another than that of the lines above")


def custom_ids(path: Path) -> Iterator[str]:
    """Those of a file that was sent, in its order. Raises `OSError`."""
    for _, raw in numbered(path):
        yield str(orjson.loads(raw)["custom_id"])


def _batch_line(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value["body"], dict):
        raise _NoRequest("`body` is not an object")
    unknown = next((key for key in value if key not in KEYS), None)
    if unknown is not None:
        raise _NoRequest(f"a batch line has no key {unknown[:64]!r}")
    return value


def _of_chat(number: int, raw: bytes, value: dict[str, Any]) -> dict[str, Any]:
    """A recorded request: what it streamed, a batch does not."""
    line = parse(number, raw)
    if isinstance(line, BadLine):
        raise _NoRequest(f"{line.reason}, nor `body`" if "messages" not in value else line.reason)
    body = {key: found for key, found in line.body.items() if key not in STREAMING}
    named = {"custom_id": value["custom_id"]} if "custom_id" in value else {}
    return {**named, "body": body}


def _lines(source: Path) -> Iterator[tuple[int, bytes]]:
    try:
        yield from numbered(source)
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror or error}") from None


def _mark(custom_id: str) -> bytes:
    """A digest, since ids may be long and many."""
    return blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
