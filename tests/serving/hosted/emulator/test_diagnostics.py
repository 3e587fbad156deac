"""Cache diagnostics through the real SDK."""

from typing import Any

import pytest
from anthropic.types import Message

from tests.serving.hosted.emulator.running import OLD_OPUS, OLD_SONNET, Running, block, running

TOOL = {"name": "f", "description": "d " * 100, "input_schema": {"type": "object"}}
BASE: dict[str, Any] = {
    "tools": [TOOL],
    "system": [block(1_000), block(1_000, "5m")],
    "messages": [{"role": "user", "content": [block(500, "5m")]}],
}
NEXT = [*BASE["messages"], {"role": "assistant", "content": "ok"}, {"role": "user", "content": "q"}]


async def diagnosed(to: Running, previous: str | None, **fields: Any) -> Message:
    return await to.ask(**fields, diagnostics={"previous_message_id": previous})


def reason(message: Message) -> tuple[str, int | None] | None:
    if message.diagnostics is None:
        return None
    found = message.diagnostics.cache_miss_reason
    assert found is not None
    return found.type, getattr(found, "cache_missed_input_tokens", None)


async def test_nothing_is_said_where_nothing_was_asked_or_nothing_differs() -> None:
    async with running() as to:
        assert (await to.ask(**BASE)).diagnostics is None
        first = await diagnosed(to, None, **BASE)
        assert first.diagnostics is None
        grown = await diagnosed(to, first.id, **(BASE | {"messages": NEXT}))
    assert grown.diagnostics is None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"model": OLD_OPUS}, ("model_changed", "all")),
        ({"tools": [TOOL | {"description": "e"}]}, ("tools_changed", "all")),
        ({"tools": []}, ("tools_changed", "all")),
        ({"system": [block(1_000), block(999, "5m")]}, ("system_changed", 2_500)),
        ({"system": [block(1_000)], "tools": [TOOL, TOOL | {"name": "g"}]},
         ("tools_changed", "all")),
        ({"messages": [{"role": "user", "content": [block(499)]}]}, ("messages_changed", 500)),
        ({"messages": [{"role": "user", "content": [block(499)]}, *NEXT[1:]]},
         ("messages_changed", 500)),
        ({"tool_choice": {"type": "none"}}, ("unavailable", None)),
        ({"output_config": {"effort": "low"}}, ("unavailable", None)),
        ({"system": [block(1_000), block(1_000)]}, None),
    ],
)  # fmt: skip
async def test_the_first_difference_is_named(change: dict[str, Any], found: Any) -> None:
    async with running() as to:
        first = await diagnosed(to, None, **BASE)
        second = await diagnosed(to, first.id, **(BASE | change))
    usage = first.usage
    total = usage.input_tokens + (usage.cache_creation_input_tokens or 0)
    assert reason(second) == (
        found if found is None else (found[0], total if found[1] == "all" else found[1])
    )


async def test_a_shortened_conversation_has_changed() -> None:
    async with running() as to:
        first = await diagnosed(to, None, **(BASE | {"messages": NEXT}))
        found = reason(await diagnosed(to, first.id, **BASE))
    assert found is not None
    assert found[0] == "messages_changed"


async def test_only_requests_of_ones_own_that_opted_in_can_be_named() -> None:
    unknown = ("previous_message_not_found", None)
    async with running() as to, to.client("other") as other:
        silent = await to.ask(**BASE)
        assert reason(await diagnosed(to, silent.id, **BASE)) == unknown
        assert reason(await diagnosed(to, "msg_of_nobody", **BASE)) == unknown
        mine = await diagnosed(to, None, **BASE)
        theirs = await other.messages.create(
            **BASE, model=OLD_SONNET, max_tokens=9, diagnostics={"previous_message_id": mine.id}
        )
        assert reason(theirs) == unknown


async def test_in_a_stream_it_stands_in_the_first_event() -> None:
    async with running() as to:
        stream = await to.sdk.messages.create(
            **BASE, model=OLD_SONNET, max_tokens=9, stream=True,
            diagnostics={"previous_message_id": "msg_of_nobody"},
        )  # fmt: skip
        async with stream:
            async for event in stream:
                assert event.type == "message_start"
                assert reason(event.message) is not None
                break
