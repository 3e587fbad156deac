"""The scope of a cache entry: who may be served by it, and for which request.

A key is a hash over all that can change an answer or who may see it: the tenant, the policy, the
model asked for, the task class, the highest allowed tier, the validators of the request, and the
request itself with every parameter, known or not. What is left out is listed in `LEFT_OUT`, so a
parameter that nobody has heard of yet separates entries rather than mixing them.

The key of an exact entry is over all of it. The scope of a question is over all of it but the
question: the text of the last message, with which semantic entries of one scope are told apart.
"""

from dataclasses import dataclass
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
"""Top-level parameters that do not change the answer. Of the `stepwell` object `validators` and
`document_version` count, `task` and `max_tier` through the call; `explain`, `cache`, `cache_tags`,
`feature`, `session`, `step` and `deadline_ms` do not."""

_EXACT, _QUESTION = b"stepwell exact", b"stepwell asked"


@dataclass(frozen=True, slots=True)
class Scoped:
    """`key`: of an exact entry. `scope`: of the question `text`; both are None where the last
    message has no text, or more than text, or is not the user's. 64 hexadecimal digits each.
    """

    key: str
    scope: str | None = None
    text: str | None = None


def scope_key(request: ChatRequest, call: Call, policy: str = "") -> str | None:
    """64 hexadecimal digits; None where the request cannot be written down exactly (an integer
    beyond 64 bits, a lone surrogate), and so cannot be cached. `policy` names whatever else decides
    which answers are acceptable; entries of different policies never meet.
    """
    return _digest(_parts(request, call, policy), _EXACT)


def scoped(request: ChatRequest, call: Call, policy: str = "") -> Scoped | None:
    """As `scope_key`, with the scope of the question that the request ends in."""
    parts = _parts(request, call, policy)
    key = _digest(parts, _EXACT)
    if key is None:
        return None
    text = _without_text(parts["request"]["messages"])
    if text is None:
        return Scoped(key)
    return Scoped(key, _digest(parts, _QUESTION), text)


def _parts(request: ChatRequest, call: Call, policy: str) -> dict[str, Any]:
    parts = {
        "tenant": call.tenant,
        "policy": policy,
        "task": call.task,
        "max_tier": call.max_tier,
        "validators": _validators(request),
        "request": _normalised(request),
    }
    if (document := request.options.document_version) is not None:
        parts["document"] = document
    return parts


def _digest(parts: dict[str, Any], domain: bytes) -> str | None:
    try:
        canonical = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, TypeError):
        return None
    return blake2b(canonical, digest_size=32, person=domain).hexdigest()


def _without_text(messages: list[dict[str, Any]]) -> str | None:
    """Takes the text out of the last message, which is left with the number of its parts and what
    else they say. None where there is more to the question than text.
    """
    last = messages[-1]
    content = last.get("content")
    if last["role"] != "user" or not content:
        return None
    if isinstance(content, str):
        messages[-1] = last | {"content": None}
        return content
    if any(part["type"] != "text" for part in content):
        return None
    messages[-1] = last | {"content": [part | {"text": None} for part in content]}
    return "\n".join(part["text"] for part in content)


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
