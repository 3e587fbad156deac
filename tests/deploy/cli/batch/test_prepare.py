"""The file that is sent: what is added, what is kept, and what is no request."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.batch.prepare import Prepared, Preparer
from serving.errors import ConfigError

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


def prepared(
    path: Path, *, model: str | None = None, limit: int | None = None
) -> tuple[Prepared, list[dict[str, Any]], list[tuple[int, str]]]:
    target, complaints = io.BytesIO(), list[tuple[int, str]]()
    found = Preparer(model).prepare(
        path, target, limit=limit, complain=lambda n, why: complaints.append((n, why))
    )
    assert found.bytes == len(target.getvalue())
    return found, [json.loads(one) for one in target.getvalue().splitlines()], complaints


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), "utf-8")
    return path


def test_texts_bodies_and_batch_lines_become_batch_lines(tmp_path: Path) -> None:
    whole = {
        "custom_id": "w",
        "method": "POST",
        "url": CHAT,
        "body": {"model": "x", "messages": HI},
    }
    file = write(
        tmp_path / "in.jsonl",
        {"text": "Hi", "label": 3},
        "",
        {"messages": HI, "model": "small", "stream": True, "stream_options": {}, "label": 1},
        {"custom_id": "mine", "messages": HI, "temperature": 0.5},
        whole,
        {"body": {"messages": HI, "stepwell": {"task": "faq"}}},
    )
    found, lines, complaints = prepared(file)
    assert complaints == []
    assert list(found.numbers) == [1, 3, 4, 5, 6]
    assert found.endpoint == CHAT
    head = {"method": "POST", "url": CHAT}
    assert lines == [
        {"custom_id": "line-1", **head, "body": {"messages": HI, "model": "auto"}},
        {"custom_id": "line-3", **head, "body": {"messages": HI, "model": "small"}},
        {
            "custom_id": "mine",
            **head,
            "body": {"messages": HI, "temperature": 0.5, "model": "auto"},
        },
        whole,
        {
            "custom_id": "line-6",
            **head,
            "body": {"messages": HI, "stepwell": {"task": "faq"}, "model": "auto"},
        },
    ]
    _, again, _ = prepared(file)
    assert [line["custom_id"] for line in again] == [line["custom_id"] for line in lines]


def test_a_whole_line_stays_as_it_is_byte_by_byte(tmp_path: Path) -> None:
    text = '{"url": "/v1/x",  "custom_id":"a","method":"POST", "body":{"model":"m","n":1e3}}'
    target = io.BytesIO()
    file = write(tmp_path / "in.jsonl", text)
    found = Preparer(None).prepare(file, target, limit=None, complain=lambda *_: None)
    assert target.getvalue() == text.encode() + b"\n"
    assert found.endpoint == "/v1/x"


def test_a_model_replaces_the_lines_own_and_a_limit_cuts(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for _ in range(3):
            file.write(json.dumps({"messages": HI, "model": "opus"}) + "\n")
    found, lines, _ = prepared(path, model="small", limit=2)
    assert found.lines == 2
    assert {line["body"]["model"] for line in lines} == {"small"}


NO_REQUESTS: list[tuple[object, str]] = [
    ("{", "not JSON"),
    ([1], "not a JSON object"),
    ({"x": 1}, "neither `messages` nor a `text`"),
    ({"messages": []}, "not a list with content"),
    ({"body": 3}, "`body` is not an object"),
    ({"body": {}, "label": 2}, "no key 'label'"),
    ({"text": "a", "custom_id": 5}, "`custom_id` is not a text"),
    ({"text": "a", "custom_id": ""}, "`custom_id` is not a text"),
    ({"text": "a", "custom_id": "first"}, "stands further up"),
    ({"body": {}, "url": "/v1/other"}, "another than that of the lines above"),
]


def test_what_is_no_request_is_told_by_line_and_nothing_is_sent(tmp_path: Path) -> None:
    file = write(
        tmp_path / "in.jsonl", {"text": "a", "custom_id": "first"}, *(one for one, _ in NO_REQUESTS)
    )
    complaints: list[tuple[int, str]] = []
    with pytest.raises(ConfigError, match=f"{len(NO_REQUESTS)} lines are no request"):
        Preparer(None).prepare(
            file, io.BytesIO(), limit=None, complain=lambda n, why: complaints.append((n, why))
        )
    assert [number for number, _ in complaints] == list(range(2, len(NO_REQUESTS) + 2))
    for (_, why), (_, part) in zip(complaints, NO_REQUESTS, strict=True):
        assert part in why


@pytest.mark.parametrize(("data", "why"), [(b"\n\n", "no requests"), (b"\x1f\x8bxx", "be read")])
def test_a_file_without_requests_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=why):
        prepared(path)
