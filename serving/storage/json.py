"""How JSON columns are written."""

from typing import Any

import orjson

from serving.storage.types import storable_json


def dumps(value: Any) -> str:
    """`value` as JSON text that both databases take, whatever a client put into it."""
    return orjson.dumps(
        storable_json(value), option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    ).decode()
