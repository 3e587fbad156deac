"""A batch through the whole stack, as the `openai` SDK sends it."""

import json
import time
from pathlib import Path

import openai
import pytest

from tests.e2e.configs import ladder
from tests.e2e.stack import running

LINES = 12


def line(number: int) -> str:
    body = {"model": "auto", "messages": [{"role": "user", "content": f"What is {number} + 4?"}]}
    request = {"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps({**request, "body": body})


def test_every_line_ends_in_the_output(tmp_path: Path) -> None:
    config = {**ladder(), "batch": {"enabled": True, "poll_s": 0.2}}
    data = "\n".join(map(line, range(LINES))).encode()
    with running(config, tmp_path) as stack, stack.client(timeout=30) as client:
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        until = time.monotonic() + 60
        while batch.status != "completed":
            assert time.monotonic() < until, batch.status
            time.sleep(0.2)
            batch = client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        answered = client.files.content(batch.output_file_id).text.splitlines()
        assert [json.loads(a)["custom_id"] for a in answered] == [f"q{n}" for n in range(LINES)]
        rows = stack.rows("SELECT DISTINCT request_id FROM attempts", wait=1.0)
        assert len(rows) == LINES


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    with (
        running(ladder(), tmp_path) as stack,
        stack.client(timeout=30) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.batches.list()
