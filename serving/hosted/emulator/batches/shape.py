"""The body that creates a batch: what is checked at once, and what only when it is processed."""

import re
from collections import deque
from dataclasses import dataclass
from typing import Any

import orjson

from serving.hosted.emulator.errors import invalid

MAX_REQUESTS = 100_000
MAX_BYTES = 256_000_000

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a batch. `params` is the JSON of a messages request, not checked yet: the API
    reports what is wrong with it as that request's result.
    """

    custom_id: str
    params: bytes


def parse_batch(raw: bytes) -> deque[Item]:
    """The requests of a batch in their order, or the 400 that refuses it as a whole."""
    try:
        body = orjson.loads(raw)
    except ValueError:
        raise invalid("The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise invalid("the request body must be a JSON object")
    for unknown in body.keys() - {"requests"}:
        raise invalid(f"{unknown}: Extra inputs are not permitted")
    requests = body.get("requests")
    if not isinstance(requests, list):
        raise invalid("requests: Input should be a valid array")
    if not 1 <= len(requests) <= MAX_REQUESTS:
        raise invalid(f"requests: a batch has 1 to {MAX_REQUESTS} requests, not {len(requests)}")
    items = deque(_item(request, f"requests.{i}") for i, request in enumerate(requests))
    if len({item.custom_id for item in items}) != len(items):
        raise invalid("requests: custom_id must be unique within a batch")
    return items


def _item(request: Any, where: str) -> Item:
    if not isinstance(request, dict):
        raise invalid(f"{where}: Input should be an object")
    for unknown in request.keys() - {"custom_id", "params"}:
        raise invalid(f"{where}.{unknown}: Extra inputs are not permitted")
    custom_id, params = request.get("custom_id"), request.get("params")
    if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
        raise invalid(f"{where}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    if not isinstance(params, dict):
        raise invalid(f"{where}.params: Field required")
    return Item(custom_id, orjson.dumps(params))
