"""Files, batches and lines as OpenAI writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

from serving.batch.progress import Progress
from serving.batch.tally import Tally
from serving.batch.values import Batch, LineAnswer, StoredFile

TIMES = (
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


def file_wire(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": _seconds(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_wire(batch: Batch, tally: Tally, progress: Progress) -> dict[str, Any]:
    """What Stepwell adds stands in `stepwell`."""
    figures = tally.to_dict()
    added = {name: figures[name] for name in ("cost_usd", "baseline_cost_usd", "tiers")}
    if batch.status == "in_progress":
        added |= asdict(progress)
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": None if batch.errors is None else {"object": "list", "data": batch.errors},
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": int(batch.created_at.timestamp()),
        **{name: _seconds(getattr(batch, name)) for name in TIMES},
        "request_counts": {
            "total": batch.total,
            "completed": tally.completed,
            "failed": tally.failed,
        },
        "usage": _usage(tally),
        "metadata": batch.labels,
        "stepwell": added,
    }


def list_wire(data: Sequence[Mapping[str, Any]], more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }


def line_result(batch_id: str, number: int, custom_id: str, answer: LineAnswer) -> bytes:
    """A line of the output or the error file, line feed included."""
    head = orjson.dumps({"id": _line_id(batch_id, number), "custom_id": _whole(custom_id)})[:-1]
    reply = {"status_code": answer.status, "request_id": answer.request_id}
    told = orjson.dumps(reply)[:-1]
    # The body is JSON already, and may hold what a second pass would refuse.
    return head + b',"response":' + told + b',"body":' + answer.body + b'},"error":null}\n'


def line_without_answer(batch_id: str, number: int, custom_id: str, code: str, why: str) -> bytes:
    """A line of the error file that never got an answer."""
    line = {
        "id": _line_id(batch_id, number),
        "custom_id": _whole(custom_id),
        "response": None,
        "error": {"code": code, "message": why},
    }
    return orjson.dumps(line) + b"\n"


def _line_id(batch_id: str, number: int) -> str:
    """The same whenever it is asked for, so that a file that is written again is the same."""
    return f"batch_req_{sha256(f'{batch_id} {number}'.encode()).hexdigest()[:32]}"


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _usage(tally: Tally) -> dict[str, Any]:
    return {
        "input_tokens": tally.prompt_tokens,
        "input_tokens_details": {"cached_tokens": tally.cached_tokens},
        "output_tokens": tally.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": tally.reasoning_tokens},
        "total_tokens": tally.prompt_tokens + tally.completion_tokens,
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
