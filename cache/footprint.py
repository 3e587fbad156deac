"""How much memory a cached answer takes, in bytes."""

import sys
from typing import Any

from serving.wire.completion import Choice, Completion

PER_OBJECT = 200
"""A dataclass, a tuple or a dict with its header and slots."""

PER_LOGPROB = 150
"""One token or alternative: the object, its float and its short string."""


def footprint(completion: Completion) -> int:
    """What keeping `completion` costs; measured on the high side."""
    return PER_OBJECT + sum(map(_choice, completion.choices))


def _choice(choice: Choice) -> int:
    texts = (choice.content, choice.refusal, choice.reasoning)
    size = 2 * PER_OBJECT + sum(sys.getsizeof(text) for text in texts if text is not None)
    for call in choice.tool_calls:
        parts = (call.id or "", call.name or "", call.arguments)
        size += PER_OBJECT + sum(map(sys.getsizeof, parts))
    size += PER_LOGPROB * sum(1 + len(token.top) for token in choice.logprobs or ())
    return size + _json(choice.provider_content)


def _json(value: Any) -> int:
    """Of a JSON value, nested as deep as the provider nests its blocks."""
    size, pending = 0, [value]
    while pending:
        item = pending.pop()
        size += sys.getsizeof(item)
        if isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            pending += item
    return size
