"""The scope of a cache entry: who may be served by it, and for which request.

A key is a hash over all that can change an answer or who may see it: the tenant, the policy, the
model asked for, the task class, the highest allowed tier, the validators of the request, and the
request itself with every parameter, known or not. What is left out is listed in `LEFT_OUT`, so a
parameter that nobody has heard of yet separates entries rather than mixing them.
"""

from hashlib import blake2b
from typing import Any

import orjson

from serving.backend import Call
from serving.wire.chat import ChatRequest

LEFT_OUT = frozenset(
    {
        # How the answer travels; the same answer is replayed either way.
        *("stream", "stream_options"),
        # Who asks within the tenant and under which label; a label that chooses the task class
        # counts through the class.
        *("user", "safety_identifier", "metadata"),
        # How fast, at what price, with which of the provider's caches and archives it is made.
        *("service_tier", "store"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    }
)
"""Top-level parameters that do not change the answer. Of the `stepwell` object `validators` counts,
`task` and `max_tier` through the call; `explain`, `cache`, `feature`, `session`, `step` and
`deadline_ms` do not."""

_DOMAIN = b"stepwell exact"


def scope_key(request: ChatRequest, call: Call, policy: str = "") -> str | None:
    """64 hexadecimal digits; None where the request cannot be written down exactly (an integer
    beyond 64 bits, a lone surrogate), and so cannot be cached. `policy` names whatever else decides
    which answers are acceptable; entries of different policies never meet.
    """
    scope = {
        "tenant": call.tenant,
        "policy": policy,
        "task": call.task,
        "max_tier": call.max_tier,
        "validators": _validators(request),
        "request": _normalised(request),
    }
    try:
        canonical = orjson.dumps(scope, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, TypeError):
        return None
    return blake2b(canonical, digest_size=32, person=_DOMAIN).hexdigest()


def _validators(request: ChatRequest) -> list[dict[str, Any]]:
    """An answer accepted under some checks must not serve a request with others."""
    return [v.model_dump(mode="json", by_alias=True) for v in request.options.validators]


def _normalised(request: ChatRequest) -> dict[str, Any]:
    """The body without what does not count, and with one spelling for what has two."""
    body = request.wire()
    body = {k: v for k, v in body.items() if v is not None and k not in LEFT_OUT}
    body["messages"] = [_message(m) for m in body["messages"]]
    # Both names set the same limit, and the newer one wins where both are given.
    if (limit := request.output_limit) is not None:
        body.pop("max_completion_tokens", None)
        body["max_tokens"] = limit
    if request.stop is not None:
        body["stop"] = request.stop_sequences
    for default, name in ((1, "n"), (False, "logprobs"), ([], "tools")):
        if body.get(name) == default:
            del body[name]
    return body


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A content of one plain text part is that text."""
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1:
        part = content[0]
        if part.keys() == {"type", "text"} and part["type"] == "text":
            return message | {"content": part["text"]}
    return message
