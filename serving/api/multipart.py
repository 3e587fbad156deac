"""multipart/form-data as it arrives, in bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message

from serving.errors import InvalidRequest, UnsupportedMediaType

MAX_BOUNDARY_CHARS = 70  # RFC 2046
MAX_HEADER_BYTES = 8_192
MAX_PARTS = 16


@dataclass(frozen=True, slots=True)
class Part:
    """The head of a part. `filename` is what the client wrote, None where it is no file."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartEnd:
    pass


Event = Part | bytes | PartEnd


class Multipart:
    """A parser that is fed. It keeps no more than one part's headers, or what may be the start of a
    delimiter. `InvalidRequest` for what is no form.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._kept = bytearray(b"\r\n")  # the first delimiter may stand at the very start
        self._parts = 0
        self._state: Callable[[], Event | None] = self._preamble

    def feed(self, data: bytes) -> Iterator[Event]:
        """What the data completes, each part as its head, its bytes in pieces, and its end."""
        self._kept += data
        while True:
            before = self._state
            event = before()
            if event is not None:
                yield event
            elif self._state == before:
                return

    def finish(self) -> None:
        """Says that no more comes."""
        if self._state != self._epilogue:
            raise InvalidRequest("The form broke off before its end.", code="invalid_form")

    def _preamble(self) -> None:
        at = self._kept.find(self._delimiter)
        if at < 0:
            self._drop(len(self._kept) - len(self._delimiter))
            return
        self._drop(at + len(self._delimiter))
        self._state = self._delimited

    def _delimited(self) -> None:
        if len(self._kept) < 2:
            return
        follows = bytes(self._kept[:2])
        if follows == b"--":
            self._state = self._epilogue
        elif follows == b"\r\n":
            self._drop(2)
            self._state = self._head
        else:
            raise InvalidRequest("A boundary of the form is malformed.", code="invalid_form")

    def _head(self) -> Part | None:
        end = self._kept.find(b"\r\n\r\n")
        if end > MAX_HEADER_BYTES or (end < 0 and len(self._kept) > MAX_HEADER_BYTES):
            raise InvalidRequest("A part's headers are too long.", code="invalid_form")
        if end < 0:
            return None
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"More than {MAX_PARTS} parts.", code="invalid_form")
        part = _part(bytes(self._kept[:end]))
        self._drop(end + 4)
        self._state = self._body
        return part

    def _body(self) -> bytes | PartEnd | None:
        at = self._kept.find(self._delimiter)
        if at == 0:
            self._drop(len(self._delimiter))
            self._state = self._delimited
            return PartEnd()
        certain = at if at > 0 else len(self._kept) - len(self._delimiter) + 1
        if certain <= 0:
            return None
        data = bytes(self._kept[:certain])
        self._drop(certain)
        return data

    def _epilogue(self) -> None:
        self._kept.clear()

    def _drop(self, count: int) -> None:
        del self._kept[: max(0, count)]


def boundary_of(content_type: str) -> bytes:
    """`UnsupportedMediaType` where it is no form."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise UnsupportedMediaType("Send the file as multipart/form-data.")
    if not 0 < len(boundary) <= MAX_BOUNDARY_CHARS or not boundary.isascii():
        raise InvalidRequest("The form's boundary is malformed.", code="invalid_form")
    return boundary.encode()


def _part(head: bytes) -> Part:
    message = Message()
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            # A line feed alone would begin another header in what parses this.
            message["content-disposition"] = value.strip().replace("\n", " ").replace("\r", " ")
            break
    name = message.get_param("name", header="content-disposition")
    if message.get_content_disposition() != "form-data" or not isinstance(name, str):
        raise InvalidRequest("A part of the form has no name.", code="invalid_form")
    return Part(name, message.get_filename())
