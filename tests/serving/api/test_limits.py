"""Bodies that are refused, before they are read, parsed or looked at."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from serving.api.limits import parse_object
from serving.errors import InvalidRequest
from serving.settings.root import LimitSettings
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import Server, chat, serving

LIMITS = LimitSettings(max_body_bytes=20_000, max_json_nodes=1_000, max_messages=3, max_tools=2)
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", "invalid_json", "JSON"),
        (b"{", "invalid_json", "JSON"),
        (b'{"a":1}x', "invalid_json", "line 1, column 8"),
        (b'{"a":NaN}', "invalid_json", "JSON"),
        (b'{"a":Infinity}', "invalid_json", "JSON"),
        (b'{"a":1e999}', "invalid_json", "infinity"),
        (b'{"a":"\xff"}', "invalid_json", "UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "invalid_json", "BOM"),
        (b'{"a":"\\ud800"}', "invalid_json", "surrogate"),
        (b'{"a":"\x01"}', "invalid_json", "JSON"),
        (b"[]", "invalid_json", "object"),
        (b'"text"', "invalid_json", "object"),
        (b'{"a":1,"a":2}', "duplicate_key", "'a'"),
        (b'{"x":[{"b":{"c":1,"\\u0063":2}}]}', "duplicate_key", "'c'"),
        (b'{"x":' + b"[" * 200 + b"]" * 200 + b"}", "nested_too_deep", "deep"),
        (b'{"x":' + b"[" * 200, "nested_too_deep", "201"),
        (b'{"x":[' + b"0," * 1_000 + b"0]}", "too_many_values", "1000"),
    ],
)
def test_what_is_no_plain_json_object(body: bytes, code: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_object(body, LIMITS)
    assert caught.value.code == code
    assert said in caught.value.message


def test_a_good_object_is_returned_whole() -> None:
    value = {"a": [1, 2.5, None, True, '\\"[{'], "b": {"": {}}}
    assert parse_object(orjson.dumps(value), LIMITS) == value


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(Scripted(), limits=LIMITS.model_dump()) as server:
        yield server
        backend: Any = server.service.backend
        assert backend.asked == []


def padded(size: int) -> bytes:
    body = orjson.dumps(chat())
    return body + b" " * (size - len(body))


async def test_an_announced_body_is_refused_unread(server: Server) -> None:
    """No byte of it is waited for: the refusal comes while nothing of the body was sent."""
    answer = await raw(server, b"content-length: 20001\r\n", b"")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"payload_too_large" in answer
    assert b"x-request-id: req_" in answer


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(server: Server) -> None:
    """Its end never comes, and need not."""
    part = b"%x\r\n%b\r\n" % (10_001, b" " * 10_001)
    answer = await raw(server, b"transfer-encoding: chunked\r\n", part + part)
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_lying_length_is_no_way_in(server: Server) -> None:
    response = await server.post(content=padded(20_001), headers=JSON)
    assert response.status_code == 413
    assert "20000" in response.json()["error"]["message"]


async def raw(server: Server, headers: bytes, body: bytes) -> bytes:
    """The head and beginning of the answer to a request that is written by hand."""
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    writer.write(head + b"content-type: application/json\r\n" + headers + b"\r\n" + body)
    answer = await asyncio.wait_for(reader.readuntil(b"}}"), 3)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
    ],
)
async def test_media_types(server: Server, headers: dict[str, str], status: int) -> None:
    response = await server.post(content=orjson.dumps(chat()), headers=headers)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": [{"role": "user", "content": "x"}] * 4}, "messages"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}] * 3}, "tools"),
        ({"n": 9}, "n"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata"),
        ({"metadata": {"k" * 65: "x"}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {"session": "a\u0000b"}}, "metadata.session"),
        ({"stepwell": {"session": "a\nb"}}, "stepwell.session"),
    ],
)
async def test_counts_and_metadata(server: Server, more: dict[str, Any], param: str) -> None:
    response = await server.post(json=chat(**more))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_a_body_that_does_not_come_ends_at_the_deadline() -> None:
    async with serving(Scripted(), request_deadline_s=0.2) as server:
        answer = await raw(server, b"content-length: 100\r\n", b'{"model"')
    assert answer.startswith(b"HTTP/1.1 504")
    assert b"body_timeout" in answer


async def test_json_with_a_charset_is_json() -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    async with serving(Scripted()) as server:
        response = await server.post(content=orjson.dumps(chat()), headers=headers)
    assert response.status_code == 200
