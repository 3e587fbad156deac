"""Lines of a batch, handed in and waited for as a client of the API does."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Literal

import openai

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
LOOK_S = 0.1
PATIENCE_S = 300.0
OPEN = ("validating", "in_progress", "finalizing")


async def answered(url: str, lines: Mapping[str, Mapping[str, Any]]) -> None:
    """A file of these bodies by their custom_id, and a batch of it: each line has an answer."""
    made = [_line(custom_id, body) for custom_id, body in lines.items()]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        file = await client.files.create(file=("in.jsonl", b"\n".join(made)), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
        )
        async with asyncio.timeout(PATIENCE_S):
            while batch.status in OPEN:
                await asyncio.sleep(LOOK_S)
                batch = await client.batches.retrieve(batch.id)
        assert batch.status == "completed", batch
        assert batch.output_file_id is not None, batch
        found = await client.files.content(batch.output_file_id)
    answers = [json.loads(line) for line in found.text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == list(lines)
    assert all(answer["response"]["status_code"] == 200 for answer in answers)


def _line(custom_id: str, body: Mapping[str, Any]) -> bytes:
    named = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT}
    return json.dumps({**named, "body": body}).encode()
