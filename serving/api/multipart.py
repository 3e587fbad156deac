"""multipart/form-data as it arrives, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.errors import InvalidRequest, UnsupportedMediaType

MAX_BOUNDARY_CHARS = 70  # RFC 2046
MAX_HEADERS = 8  # of a part
MAX_HEADER_BYTES = 4_096  # of one of them
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
    """A parser that is fed. It keeps no more than one header, or what may be the start of a
    delimiter. `InvalidRequest` for what is no form; it is not fed again after that.
    """

    def __init__(self, boundary: bytes) -> None:
        self._events: list[Event] = []
        self._field, self._value, self._disposition = bytearray(), bytearray(), b""
        self._parts = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._head,
                "on_part_data": self._data,
                "on_part_end": lambda: self._events.append(PartEnd()),
                "on_end": self._end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def feed(self, data: bytes) -> Sequence[Event]:
        """What the data completes, each part as its head, its bytes in pieces, and its end."""
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise InvalidRequest(f"Malformed form: {error}.", code="invalid_form") from None
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """Says that no more comes."""
        if not self._ended:
            raise InvalidRequest("The form broke off before its end.", code="invalid_form")

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"More than {MAX_PARTS} parts.", code="invalid_form")
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _head(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name, filename = options.get(b"name"), options.get(b"filename")
        if kind != b"form-data" or name is None:
            raise InvalidRequest("A part of the form has no name.", code="invalid_form")
        self._events.append(Part(_text(name), None if filename is None else _text(filename)))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def boundary_of(content_type: str) -> bytes:
    """`UnsupportedMediaType` where it is no form."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or boundary is None:
        raise UnsupportedMediaType("Send the file as multipart/form-data.")
    if not 0 < len(boundary) <= MAX_BOUNDARY_CHARS or not boundary.isascii():
        raise InvalidRequest("The form's boundary is malformed.", code="invalid_form")
    return boundary


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
