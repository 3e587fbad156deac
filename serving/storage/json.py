"""How JSON columns are written."""

import json
from typing import Any

import orjson

from serving.storage.types import storable_json


def dumps(value: Any) -> str:
    """`value` as JSON text that both databases take, whatever a client put into it."""
    value = storable_json(value)
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
