"""vLLM's steps become chunks."""

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from serving.engines.vllm.stream import ChunkSource
from serving.errors import TierUnavailable
from serving.wire.completion import Assembler, Chunk, TokenLogprob, TopLogprob


def step(
    text: str, ids: Sequence[int], *, index: int = 0, finish: str | None = None, **more: Any
) -> SimpleNamespace:
    output = SimpleNamespace(
        text=text, token_ids=ids, index=index, finish_reason=finish, logprobs=None
    )
    vars(output).update(more)
    return SimpleNamespace(prompt_token_ids=[1, 2, 3], num_cached_tokens=2, outputs=[output])


def asked(**more: Any) -> SimpleNamespace:
    given = {
        "n": 1,
        "tools": None,
        "tool_choice": None,
        "logprobs": False,
        "top_logprobs": None,
        "include_reasoning": True,
        "parallel_tool_calls": None,
    }
    return SimpleNamespace(**{**given, **more})


class Results:
    """The engine's generator; knows whether it was closed."""

    def __init__(self, steps: Sequence[Any]) -> None:
        self.steps = list(steps)
        self.closed = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if not self.steps:
            raise StopAsyncIteration
        return self.steps.pop(0)

    async def aclose(self) -> None:
        self.closed = True


async def chunks(steps: Sequence[Any], parser_cls: Any = None, **request: Any) -> list[Chunk]:
    serving = SimpleNamespace(parser_cls=parser_cls, model_config=None)
    source = ChunkSource(serving, "local")
    stream = source(asked(**request), Results(steps), "id", "model", [], None, None)
    return [chunk async for chunk in stream]


async def test_text_and_usage() -> None:
    found = await chunks([step("Hel", [5]), step("lo", [6, 7]), step("", [8], finish="stop")])
    assert found[0].role == "assistant"
    assert [c.content for c in found[1:3]] == ["Hel", "lo"]
    assert found[3].finish_reason == "stop"
    usage = found[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (3, 4, 2)
    assert {(c.id, c.model) for c in found} == {("id", "model")}


async def test_prefill_in_parts_says_nothing() -> None:
    found = await chunks([step("", []), step("", []), step("A", [5], finish="length")])
    assert [c.content for c in found] == ["", "A", None]


async def test_choices_do_not_mix() -> None:
    steps = [
        step("a", [1]),
        step("x", [1], index=1),
        step("b", [2], finish="stop"),
        step("y", [2], index=1, finish="length"),
    ]
    assembler = Assembler()
    for chunk in await chunks(steps, n=2):
        assembler.add(chunk)
    whole = assembler.completion()
    assert [c.content for c in whole.choices] == ["ab", "xy"]
    assert [c.finish_reason for c in whole.choices] == ["stop", "length"]
    assert whole.usage.completion_tokens == 4


def said(token: str, logprob: float) -> SimpleNamespace:
    return SimpleNamespace(decoded_token=token, logprob=logprob)


async def test_logprobs_stand_beside_their_text() -> None:
    steps = [{7: said("no", -0.5), 9: said("yes", -1.0)}, {8: said("!", float("-inf"))}]
    found = await chunks(
        [step("no!", [7, 8], finish="stop", logprobs=steps)], logprobs=True, top_logprobs=2
    )
    assert found[1].logprobs == (
        TokenLogprob("no", -0.5, (TopLogprob("no", -0.5), TopLogprob("yes", -1.0))),
        TokenLogprob("!", -9_999.0, (TopLogprob("!", -9_999.0),)),
    )


async def test_an_engine_that_gives_up_is_a_fault() -> None:
    results = Results([step("Hel", [5]), step("", [], finish="error")])
    serving = SimpleNamespace(parser_cls=None, model_config=None)
    stream = ChunkSource(serving, "local")(asked(), results, "id", "m", [], None, None)
    with pytest.raises(TierUnavailable, match="local"):
        [chunk async for chunk in stream]
    assert results.closed


async def test_a_client_that_leaves_closes_the_engine_s_generator() -> None:
    results = Results([step("Hel", [5]), step("lo", [6])])
    serving = SimpleNamespace(parser_cls=None, model_config=None)
    stream = ChunkSource(serving, "local")(asked(), results, "id", "m", [], None, None)
    await anext(stream)
    await stream.aclose()
    assert results.closed


class Parser:
    """Reads `<think>` as reasoning and `!` as a piece of a tool call; `?` says nothing yet."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.pieces = 0

    def parse_delta(self, *, delta_text: str, **_: Any) -> Any:
        if delta_text == "?":
            return None
        calls = []
        if delta_text.startswith("!"):
            index = int(delta_text[1])
            function = SimpleNamespace(name=f"f{index}", arguments="{}")
            calls = [SimpleNamespace(index=index, id=f"c{index}", function=function)]
        thought = delta_text if delta_text.startswith("<") else None
        plain = None if calls or thought else delta_text
        return SimpleNamespace(content=plain, reasoning=thought, tool_calls=calls)

    def count_reasoning_tokens(self, ids: Sequence[int]) -> int:
        return sum(1 for i in ids if i >= 100)


PARSED = [step("<hm", [100]), step("?", [1]), step("!0", [2]), step("!1", [3], finish="stop")]


async def test_tool_calls_and_reasoning() -> None:
    assembler = Assembler()
    for chunk in await chunks(PARSED, Parser, tool_choice="auto"):
        assembler.add(chunk)
    choice = assembler.completion().first
    assert choice.reasoning == "<hm"
    assert [(c.id, c.name) for c in choice.tool_calls] == [("c0", "f0"), ("c1", "f1")]
    assert choice.finish_reason == "tool_calls"
    assert assembler.completion().usage.reasoning_tokens == 1


async def test_one_call_where_one_is_wanted() -> None:
    found = await chunks(PARSED, Parser, tool_choice="auto", parallel_tool_calls=False)
    assert [c.id for chunk in found for c in chunk.tool_calls] == ["c0"]


async def test_hidden_reasoning_has_no_logprobs_either() -> None:
    steps = [step("<hm", [100], logprobs=[{100: said("<hm", -1.0)}]), step("A", [1], finish="stop")]
    steps[1].outputs[0].logprobs = [{1: said("A", -0.1)}]
    found = await chunks(steps, Parser, logprobs=True, include_reasoning=False)
    assert all(c.reasoning is None and c.logprobs is None for c in found)
