"""Anthropic's usage as ours. Prompt tokens there are what follows the last breakpoint only."""

from collections.abc import Mapping
from typing import Any

from serving.wire.completion import Usage


def to_usage(usage: Mapping[str, Any], diagnostics: Mapping[str, Any] | None = None) -> Usage:
    """Usage of a whole message, and its `diagnostics`. `input_tokens`, tokens written to and read
    from the cache add up to `prompt_tokens`; cache writes are counted once, with their one-hour
    share beside them.
    """
    written = _count(usage, "cache_creation_input_tokens")
    read = _count(usage, "cache_read_input_tokens")
    split = usage.get("cache_creation") or {}
    hour = _count(split, "ephemeral_1h_input_tokens")
    if "cache_creation_input_tokens" not in usage:
        written = hour + _count(split, "ephemeral_5m_input_tokens")
    return Usage(
        prompt_tokens=_count(usage, "input_tokens") + written + read,
        completion_tokens=_count(usage, "output_tokens"),
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(hour, written),
        reasoning_tokens=_count(usage.get("output_tokens_details") or {}, "thinking_tokens"),
        cache_miss_reason=_miss_reason(diagnostics),
    )


def merged(start: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """Usage of a stream: counts of `message_delta` are cumulative and replace those of
    `message_start`; what a delta leaves out, such as the split by lifetime, stays.
    """
    return {**start, **{key: value for key, value in delta.items() if value is not None}}


def _miss_reason(diagnostics: Mapping[str, Any] | None) -> str | None:
    reason = (diagnostics or {}).get("cache_miss_reason")
    kind = reason.get("type") if isinstance(reason, Mapping) else None
    return kind if isinstance(kind, str) else None


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value > 0 else 0
