"""Token counts of the emulated models: deterministic, near those of a real tokenizer for English,
and additive over blocks, so that prefixes of a prompt can be counted.
"""

import json
import math
import re
from typing import Any

from pydantic import BaseModel

IMAGE_TOKENS = 1_500
DOCUMENT_TOKENS = 2_000
BLOCK_OVERHEAD = 2

_PIECES = re.compile(r"\w{1,6}|[^\w\s]")


def text_tokens(text: str, ratio: float = 1.0) -> int:
    """Pieces of words and punctuation marks, times what the model's tokenizer makes of them."""
    return math.ceil(len(_PIECES.findall(text)) * ratio)


def block_tokens(block: BaseModel, ratio: float) -> int:
    """Tokens of one content block, system block or tool definition."""
    data = block.model_dump(exclude={"cache_control", "signature"}, exclude_none=True)
    return BLOCK_OVERHEAD + _value_tokens(data, ratio)


def _value_tokens(data: dict[str, Any], ratio: float) -> int:
    kind = data.get("type")
    if kind == "image":
        return IMAGE_TOKENS
    if kind == "document":
        return DOCUMENT_TOKENS
    if kind in {"text", "thinking"}:
        return text_tokens(data[kind], ratio)
    if kind == "tool_result":
        return sum(_value_tokens(part, ratio) for part in data["content"])
    return text_tokens(json.dumps(data, ensure_ascii=False), ratio)
