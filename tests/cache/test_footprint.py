"""What a cached answer takes."""

import tracemalloc
from collections.abc import Callable

import pytest

from cache.footprint import footprint
from serving.wire.completion import (
    Choice,
    Completion,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
)


def completion(*choices: Choice) -> Completion:
    return Completion("id", 1, "model", choices, Usage(1, 2))


def _token(i: int) -> TokenLogprob:
    return TokenLogprob(f"t{i}", -i / 7, (TopLogprob(f"a{i}", -i / 3), TopLogprob(f"b{i}", -i / 5)))


MAKERS: dict[str, Callable[[], Completion]] = {
    "text": lambda: completion(Choice(content="x" * 5_000)),
    "wide text": lambda: completion(Choice(content="\U0001f600" * 5_000)),
    "logprobs": lambda: completion(Choice(logprobs=tuple(_token(i) for i in range(1_000)))),
    "tools": lambda: completion(
        Choice(
            tool_calls=tuple(ToolCallPart(i, f"call_{i}", f"name_{i}", "{}" * i) for i in range(20))
        )
    ),
    "blocks": lambda: completion(
        Choice(
            provider_content={"content": [{"type": "t", "text": f"{i}" * 50} for i in range(99)]}
        )
    ),
    "choices": lambda: completion(*(Choice(index=i, content=f"{i}" * 100) for i in range(8))),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_footprint_covers_what_is_allocated(name: str) -> None:
    MAKERS[name]()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = MAKERS[name]()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken <= footprint(kept) + 1_000 <= 4 * taken + 6_000
