"""A file on its way in: from the request's body to the disk, counted as it comes."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive

from serving.api.auth import Caller
from serving.api.disconnect import ClientGone
from serving.api.multipart import Multipart, Part, PartEnd, boundary_of
from serving.api.validation import parse_as
from serving.batch.disk import FileWriter
from serving.batch.files import FileStore, new_file_id
from serving.batch.requests import ExpiresAfter
from serving.batch.values import Owner, StoredFile
from serving.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    Overloaded,
    PayloadTooLarge,
)

FORM_BYTES = 65_536  # of a form, beside its file
FIELD_BYTES = 1_024
PURPOSE = "batch"


@dataclass(slots=True)
class _Form:
    """What was read so far. `filename` is None until the file began, `part` is what is read now."""

    fields: dict[str, bytes] = field(default_factory=dict)
    filename: str | None = None
    part: Part | None = None

    def text(self, name: str) -> str | None:
        value = self.fields.get(name)
        return None if value is None else value.decode("utf-8", "replace")


async def receive_file(request: Request, files: FileStore, caller: Caller) -> StoredFile:
    """The file of a form, stored. Raises `ClientError`, and leaves nothing on the disk then."""
    _check_origin(request.headers, caller)
    parser = Multipart(boundary_of(request.headers.get("content-type", "")))
    most = files.settings.max_file_bytes
    announced = _announced(request.headers)
    if announced is not None and announced > most + FORM_BYTES:
        raise _too_large(most)
    owner, file_id, form = Owner(caller.tenant, caller.key_id), new_file_id(), _Form()
    async with files.room(owner.tenant, announced), files.writing(file_id) as writer:
        await _in_time(request.receive, parser, form, writer, files)
        filename, ttl_s = _checked(form, writer.size)
    return await files.add(
        file_id, owner, filename=filename, purpose=PURPOSE, size=writer.size, ttl_s=ttl_s
    )


async def _in_time(
    receive: Receive, parser: Multipart, form: _Form, writer: FileWriter, files: FileStore
) -> None:
    try:
        async with asyncio.timeout(files.settings.upload_s):
            await _read(receive, parser, form, writer, files.settings.max_file_bytes)
    except TimeoutError:
        message = "The file did not arrive in time."
        raise DeadlineExceeded(message, code="body_timeout") from None
    except OSError as error:
        message = "The file could not be stored."
        raise Overloaded(message, code="storage_unavailable", retry_after=60.0) from error


async def _read(
    receive: Receive, parser: Multipart, form: _Form, writer: FileWriter, most: int
) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        data, more = message.get("body", b""), message.get("more_body", False)
        size += len(data)
        if size > most + FORM_BYTES:
            raise _too_large(most)
        for event in parser.feed(data):
            if isinstance(event, Part):
                _begin(form, event)
            elif isinstance(event, PartEnd):
                form.part = None
            elif form.part is not None and form.part.name == "file":
                if writer.size + len(event) > most:
                    raise _too_large(most)
                await writer.write(event)
            else:
                _add(form, event)
    parser.finish()


def _begin(form: _Form, part: Part) -> None:
    form.part = part
    if part.name == "file":
        if form.filename is not None:
            raise InvalidRequest("Send one file.", param="file", code="invalid_form")
        form.filename = part.filename or "upload.jsonl"
    elif part.filename is not None:
        raise InvalidRequest("Send one file, named 'file'.", param="file", code="invalid_form")
    elif part.name in form.fields:
        raise InvalidRequest("A field of the form stands twice.", code="invalid_form")
    else:
        form.fields[part.name] = b""


def _add(form: _Form, data: bytes) -> None:
    assert form.part is not None, "bytes come within a part"
    value = form.fields[form.part.name] + data
    if len(value) > FIELD_BYTES:
        raise InvalidRequest("A field of the form is too long.", code="invalid_form")
    form.fields[form.part.name] = value


def _checked(form: _Form, size: int) -> tuple[str, int | None]:
    """The file's name and the seconds that it lives, None for the default."""
    purpose = form.text("purpose")
    if purpose is None:
        raise _missing("purpose")
    if purpose != PURPOSE:
        message = f"Invalid value for 'purpose': files are kept for '{PURPOSE}' here."
        raise InvalidRequest(message, param="purpose", code="invalid_value")
    if form.filename is None:
        raise _missing("file")
    if not size:
        raise InvalidRequest("The file is empty.", param="file", code="empty_file")
    names = {f"expires_after[{name}]": name for name in ("anchor", "seconds")}
    given = {short: form.text(name) for name, short in names.items() if name in form.fields}
    ttl_s = parse_as(ExpiresAfter, given).seconds if given else None
    return form.filename, ttl_s


def _missing(param: str) -> InvalidRequest:
    message = f"Missing required parameter: '{param}'."
    return InvalidRequest(message, param=param, code="missing_required_parameter")


def _check_origin(headers: Headers, caller: Caller) -> None:
    """A web page can send a form to a loopback address without asking the browser's permission."""
    origin = headers.get("origin")
    if caller.key_id is None and origin and urlsplit(origin).netloc != headers.get("host"):
        raise Forbidden("Without API keys, web pages cannot upload files.", code="origin")


def _announced(headers: Headers) -> int | None:
    announced = headers.get("content-length", "")
    return int(announced[:20]) if announced.isascii() and announced.isdecimal() else None


def _too_large(most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A file may have {most:,} bytes.", code="file_too_large")
