"""Forms are read the same however their bytes arrive."""

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.api.multipart import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Multipart,
    Part,
    PartEnd,
    boundary_of,
)
from serving.errors import InvalidRequest, UnsupportedMediaType

HEAD = b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'


def parsed(pieces: list[bytes], boundary: bytes = b"b") -> list[tuple[str, str | None, bytes]]:
    parser = Multipart(boundary)
    found: list[tuple[str, str | None, bytes]] = []
    now: tuple[Part, bytes] | None = None
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, Part):
                assert now is None
                now = (event, b"")
            else:
                assert now is not None
                if isinstance(event, PartEnd):
                    found.append((now[0].name, now[0].filename, now[1]))
                    now = None
                else:
                    now = (now[0], now[1] + event)
    parser.finish()
    return found


@given(
    data=st.binary(max_size=300)
    | st.lists(st.sampled_from([b"\r\n--", b"\r\n", b"-"])).map(b"".join),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_a_client_s_form_comes_out_as_it_went_in(data: bytes, cuts: list[int]) -> None:
    request = httpx2.Request(
        "POST", "http://x", data={"purpose": "batch"}, files={"file": ("a b.jsonl", data)}
    )
    body = request.read()
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(body[at : at + size])
        at += size
    boundary = boundary_of(request.headers["content-type"])
    wanted = [("purpose", None, b"batch"), ("file", "a b.jsonl", data)]
    assert parsed(pieces, boundary) == wanted


def test_an_epilogue_is_passed_over() -> None:
    body = b"\r\n" + HEAD + b"data\r\n--b--\r\nbye"
    assert parsed([body]) == [("file", "x", b"data")]


@pytest.mark.parametrize(
    "body",
    [
        HEAD + b"data",
        HEAD + b"data\r\n--b",
        HEAD + b"data\r\n--bc",
        b"--b\r\n\r\ndata\r\n--b--",
        b"--b\r\ncontent-type: x\r\n\r\ndata\r\n--b--",
        b"--b\r\nx: " + b"y" * (MAX_HEADER_BYTES + 1),
        b"--b\r\n" + b"x: y\r\n" * (MAX_HEADERS + 1) + HEAD[5:] + b"data\r\n--b--",
        b"hello\r\n" + HEAD + b"data\r\n--b--",
        b"".join(HEAD + b"\r\n" for _ in range(17)) + b"--b--",
        b"",
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parsed([body])


def test_little_is_kept() -> None:
    parser = Multipart(b"b")
    assert parser.feed(HEAD[:-4]) == []
    assert parser.feed(HEAD[-4:]) == [Part("file", "x")]
    for _ in range(50):
        given = [event for event in parser.feed(b"x" * 1_000) if isinstance(event, bytes)]
        assert len(b"".join(given)) == 1_000


@pytest.mark.parametrize("name", ["application/json", "multipart/mixed; boundary=b", ""])
def test_other_types_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        boundary_of(name)
    with pytest.raises(InvalidRequest):
        boundary_of("multipart/form-data; boundary=" + "b" * 71)
