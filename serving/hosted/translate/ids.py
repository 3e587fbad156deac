"""Tool call ids in Anthropic's alphabet."""

import hashlib
import re

_ALLOWED = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")


def tool_id(id: str) -> str:  # noqa: A002 - it is an id
    """`id` where Claude accepts it, else an id made from it. Equal ids stay equal and different
    ones different, so that calls and results still meet.
    """
    if _ALLOWED.fullmatch(id):
        return id
    digest = hashlib.sha256(id.encode()).hexdigest()[:16]
    return f"{_OTHER.sub('_', id)[:40]}_{digest}"
