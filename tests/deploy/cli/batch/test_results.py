"""Results in the order of the input, whole or not at all."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from deploy.cli.batch.results import Places, Written, write_results
from serving.errors import StepwellError


def lines(path: Path, ids: Iterable[str]) -> Path:
    path.write_text("".join(json.dumps({"custom_id": i, "x": path.name}) + "\n" for i in ids))
    return path


def ids(path: Path) -> list[str]:
    return [json.loads(one)["custom_id"] for one in path.read_text().splitlines()]


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    return lines(tmp_path / "sent", "abcdef")


def test_one_file_has_all_lines_in_the_order_of_the_input(tmp_path: Path, sent: Path) -> None:
    out, err = lines(tmp_path / "o", "fca"), lines(tmp_path / "e", "dbe")
    places = Places(tmp_path / "out.jsonl")
    assert write_results(places, sent, out, err) == Written(succeeded=3, failed=3)
    assert ids(places.out) == list("abcdef")


def test_failed_lines_may_have_a_file_of_their_own(tmp_path: Path, sent: Path) -> None:
    out, err = lines(tmp_path / "o", "fca"), lines(tmp_path / "e", "dbe")
    places = Places(tmp_path / "out.jsonl", tmp_path / "err.jsonl")
    write_results(places, sent, out, err)
    assert (ids(tmp_path / "out.jsonl"), ids(tmp_path / "err.jsonl")) == (list("acf"), list("bde"))
    lines(sent, "acf")
    write_results(places, sent, out, None)  # an older file of errors does not stay
    assert (ids(tmp_path / "out.jsonl"), ids(tmp_path / "err.jsonl")) == (list("acf"), [])


def test_without_the_input_lines_that_succeeded_come_first(tmp_path: Path) -> None:
    out, err = lines(tmp_path / "o", "ca"), lines(tmp_path / "e", "b")
    write_results(Places(tmp_path / "out.jsonl"), None, out, err)
    assert ids(tmp_path / "out.jsonl") == list("cab")


@pytest.mark.parametrize(
    ("out", "err", "why"),
    [
        ("abcde", "", "lack the result"),
        ("abcdef", "f", "two results"),
        ("abcdeff", "", "two results"),
        ("abcdefg", "", "nobody asked for"),
    ],
)
def test_what_does_not_fit_together_is_not_written(
    tmp_path: Path, sent: Path, out: str, err: str, why: str
) -> None:
    target = tmp_path / "there" / "out.jsonl"
    target.parent.mkdir()
    target.write_text("before")
    with pytest.raises(StepwellError, match=why):
        write_results(Places(target), sent, lines(tmp_path / "o", out), lines(tmp_path / "e", err))
    assert target.read_text() == "before"
    assert [path.name for path in target.parent.iterdir()] == ["out.jsonl"]


def test_what_is_no_result_is_refused(tmp_path: Path, sent: Path) -> None:
    broken = tmp_path / "o"
    broken.write_text('{"custom_id": "a"}\n{"custom_')
    with pytest.raises(StepwellError, match="no result"):
        write_results(Places(tmp_path / "out.jsonl"), sent, broken, None)
