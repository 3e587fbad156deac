"""Lines of a file, whatever their length and however the file is read."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.batch import jsonl
from serving.batch.jsonl import RawLine, raw_lines, read_line


async def all_of(path: Path, most: int = 1_000) -> list[RawLine]:
    return [line async for line in raw_lines(path, most)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    block=st.integers(1, 50),
    end=st.booleans(),
)
async def test_each_line_is_where_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[bytes], block: int, end: bool
) -> None:
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", block)
    path = tmp_path / "x"
    path.write_bytes(b"\n".join(lines) + (b"\n" if end else b""))
    found = await all_of(path)
    bom = jsonl.BOM
    clean = [line.removeprefix(bom) if i == 0 else line for i, line in enumerate(lines)]
    wanted = [(i + 1, line) for i, line in enumerate(clean) if line.strip()]
    assert [(line.number, line.data) for line in found] == wanted
    for line in found:
        assert read_line(path, line.offset, line.length) == line.data


async def test_of_a_long_line_little_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * 1_001 + b"\n" + b"b" * 1_000 + b"\n" + b"c" * 3_000_000)
    found = await all_of(path)
    assert [(line.number, line.length) for line in found] == [
        (1, 1_001),
        (2, 1_000),
        (3, 3_000_000),
    ]
    assert [line.data for line in found] == [None, b"b" * 1_000, None]


def test_a_file_that_is_shorter_than_expected(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert read_line(path, 1, 2) == b"bc"
    with pytest.raises(OSError, match="not there"):
        read_line(path, 1, 3)
