"""Lines of batches for responses."""

from pathlib import Path
from typing import Any

from tests.serving.api.scripted import Scripted
from tests.serving.batch.stack import ended, jsonl, results, stack, upload

RESPONSES: Any = "/v1/responses"


def line(custom_id: str, **body: Any) -> dict[str, Any]:
    asked = {"model": "auto", "input": "Hi", **body}
    return {"custom_id": custom_id, "method": "POST", "url": RESPONSES, "body": asked}


async def submit(client: Any, *lines: dict[str, Any]) -> Any:
    file = await upload(client, jsonl(lines))
    return await client.batches.create(
        input_file_id=file.id, endpoint=RESPONSES, completion_window="24h"
    )


async def test_lines_are_answered_as_responses(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path) as running:
        made = await submit(running.client, line("a"), line("b", instructions="Be brief."))
        done = await ended(running.client, made.id)
        found = await results(running.client, done.output_file_id)
    assert done.status == "completed"
    body = found["b"]["response"]["body"]
    assert (body["object"], body["status"], body["store"]) == ("response", "completed", False)
    assert body["output"][0]["content"][0]["text"] == "Hello world"
    assert body["instructions"] == "Be brief."
    assert body["usage"]["stepwell"]["tier"] == "small"


async def test_what_lines_cannot_have_is_refused_by_name(tmp_path: Path) -> None:
    wrong = {
        "store": True,
        "background": True,
        "previous_response_id": "resp_1",
        "truncation": "auto",
        "stream": True,
        "messages": [],
    }
    async with stack(Scripted(), tmp_path) as running:
        lines = [line(name, **{name: value}) for name, value in wrong.items()]
        made = await submit(running.client, *lines)
        failed = await ended(running.client, made.id)
    assert failed.status == "failed"
    assert failed.errors is not None
    told = [error.message or "" for error in failed.errors.data or ()]
    assert len(told) == len(wrong)
    assert all(name in text for name, text in zip(wrong, told, strict=True))
