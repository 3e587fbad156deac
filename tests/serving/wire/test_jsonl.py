import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.wire import jsonl
from serving.wire.jsonl import objects


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for i in range(0, len(data), size):
        yield data[i : i + size]


async def read(data: bytes, size: int = 7) -> list[dict[str, Any] | None]:
    return [line async for line in objects(in_pieces(data, size))]


values = st.dictionaries(st.text(max_size=4), st.text() | st.integers() | st.none(), max_size=3)


@given(st.lists(values, max_size=5), st.integers(1, 40), st.booleans())
async def test_any_objects_arrive_however_they_are_cut(
    sent: list[dict[str, Any]], size: int, ended: bool
) -> None:
    """Also with characters that end a line elsewhere: U+2028, U+0085, a carriage return."""
    data = "\n".join(json.dumps(v, ensure_ascii=False) for v in sent)
    assert await read((data + "\n" * ended).encode(), size) == sent


async def test_what_is_no_object_is_told_apart_from_an_empty_line() -> None:
    assert await read(b'{"a": 1}\n\n[1]\n{broken\n\xff\n\r\n{"b": 2}') == [
        {"a": 1},
        None,
        None,
        None,
        {"b": 2},
    ]


async def test_a_line_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 50)
    long = json.dumps({"a": "x" * 100}).encode()
    assert await read(long + b'\n{"b": 1}\n' + long) == [None, {"b": 1}, None]
