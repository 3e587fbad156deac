"""Ids in the form of Anthropic's."""

from uuid import uuid4


def new_id(prefix: str) -> str:
    """For example `msg_` and 24 hexadecimal digits."""
    return f"{prefix}_{uuid4().hex[:24]}"
