"""Reading request files: formats, bad lines, laziness."""

import gzip
import json
from pathlib import Path

import pytest

from deploy.cli.replay.read import BadLine, Line, count, in_background, parse, read
from serving.wire import jsonl_file


def text(number: int) -> bytes:
    return json.dumps({"text": f"question {number}"}).encode() + b"\n"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"text": ""}', "neither"),
        (b'{"text": 3}', "neither"),
        (b'{"messages": []}', "`messages` is not a list"),
        (b'{"messages": {"role": "user"}}', "`messages` is not a list"),
        (b'{"messages": ["hi"]}', "not an object"),
        (b'{"messages": [{}], "stepwell": 1}', "`stepwell`"),
        (b'{"messages": [{}], "metadata": "x"}', "`metadata`"),
        (b'{"messages": [{}], "extra_body": {"stepwell": []}}', "`stepwell`"),
        (b'{"messages": [{}], "extra_body": {"messages": []}}', "`extra_body`"),
        (b'{"text": "\xff"}', "not JSON"),
    ],
)
def test_bad_lines(raw: bytes, reason: str) -> None:
    line = parse(7, raw)
    assert isinstance(line, BadLine)
    assert line.number == 7
    assert reason in line.reason


def test_a_bad_line_is_not_quoted() -> None:
    line = parse(1, b'{"text": "my secret')
    assert isinstance(line, BadLine)
    assert "secret" not in line.reason


def test_a_line_that_is_too_long_costs_no_memory_and_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_file, "MAX_LINE_BYTES", 100)
    file = tmp_path / "r.jsonl"
    file.write_bytes(text(1) + b'{"text": "' + b"x" * 1_000 + b'"}\n' + text(3))
    lines = list(read(file))
    assert [type(line) for line in lines] == [Line, BadLine, Line]
    assert [line.number for line in lines] == [1, 2, 3]
    assert count(file) == 3


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(gzip.compress(text(1) + b"\n" + text(2)))
    assert [line.number for line in read(file)] == [1, 3]
    assert count(file) == 2


def test_the_last_line_needs_no_line_end(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes((text(1) + text(2)).rstrip())
    assert [type(line) for line in read(file)] == [Line, Line]


def test_the_limit_stops_the_reading(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(b"".join(text(i) for i in range(10)) + b"broken\n")
    assert len(list(read(file, 10))) == 10
    assert isinstance(list(read(file))[-1], BadLine)
    assert count(file, 4) == 4


def test_garbage_within_gzip_ends_the_reading_with_a_bad_line(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(b"".join(text(i) for i in range(5_000))))
    whole[len(whole) // 2 : len(whole) // 2 + 40] = b"\x00" * 40
    file = tmp_path / "r.jsonl.gz"
    file.write_bytes(bytes(whole))
    *_, last = read(file)
    assert isinstance(last, BadLine)
    assert "cannot be read" in last.reason


async def test_lines_are_drawn_a_few_at_a_time() -> None:
    drawn = 0

    def endless() -> object:
        nonlocal drawn
        while True:
            drawn += 1
            yield Line(drawn, {})

    lines = in_background(endless())  # type: ignore[arg-type]  # a generator by its body
    first = await anext(lines)
    assert first.number == 1
    assert drawn <= 64
    await lines.aclose()
