from typing import Any

import pytest

from serving.hosted.emulator.positions import positions
from serving.hosted.emulator.prompt_cache import CachePlan, PromptCache
from serving.hosted.emulator.wire import Prompt
from serving.hosted.models import catalog
from tests.serving.hosted.fakes import OPUS

LONG = "word " * 600  # 600 words make 780 tokens on the newest models


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A cache, and requests that answer at once."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cache = PromptCache(self.clock)

    def plan(self, workspace: str = "w", model: str = OPUS, **fields: Any) -> CachePlan:
        fields.setdefault("messages", [said("user", text("Hi"))])
        prompt = Prompt.model_validate({"model": model, **fields})
        ability = catalog().ability(model)
        return self.cache.plan(workspace, positions(prompt, ability), ability.min_cacheable)

    def ask(self, **fields: Any) -> CachePlan:
        plan = self.plan(**fields)
        self.cache.commit(plan)
        return plan


def text(words: str, ttl: str | None = None) -> dict[str, Any]:
    control = {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}
    return {"type": "text", "text": words, **control}


def said(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def counts(plan: CachePlan) -> tuple[int, int, int]:
    """Whether anything was read, written for five minutes, written for an hour."""
    return plan.read, plan.write_5m, plan.write_1h


@pytest.fixture
def server() -> Server:
    return Server()


SYSTEM = [text(LONG, "5m")]


def test_the_first_request_writes_and_the_second_reads(server: Server) -> None:
    first, second = server.ask(system=SYSTEM), server.ask(system=SYSTEM)
    assert counts(first) == (0, 782, 0)
    assert counts(second) == (782, 0, 0)
    assert first.total == second.total == 782 + first.input_tokens
    assert first.input_tokens == second.input_tokens == 4


def test_without_a_breakpoint_nothing_is_stored(server: Server) -> None:
    for _ in range(2):
        plan = server.ask(system=[text(LONG)])
        assert counts(plan) == (0, 0, 0)
    assert plan.input_tokens == plan.total


def test_a_prefix_under_the_minimum_is_silently_not_stored(server: Server) -> None:
    short = [text("word " * 300, "5m")]
    server.ask(system=short)
    assert counts(server.ask(system=short)) == (0, 0, 0)


def test_an_entry_is_usable_once_its_response_has_begun(server: Server) -> None:
    first = server.plan(system=SYSTEM)
    assert counts(server.plan(system=SYSTEM))[1] == 782
    server.cache.commit(first)
    assert counts(server.plan(system=SYSTEM))[0] == 782


def test_workspaces_and_models_are_apart(server: Server) -> None:
    server.ask(system=SYSTEM)
    assert server.ask(system=SYSTEM, workspace="other").read == 0
    assert server.ask(system=SYSTEM, model="claude-opus-5").read == 0


def test_five_minutes_count_from_the_request_and_a_hit_refreshes_them(server: Server) -> None:
    server.ask(system=SYSTEM)
    server.clock.now += 290
    assert server.ask(system=SYSTEM).read
    server.clock.now += 290
    assert server.ask(system=SYSTEM).read
    server.clock.now += 301
    assert not server.ask(system=SYSTEM).read


def test_an_hour_lasts_an_hour(server: Server) -> None:
    hour = [text(LONG, "1h")]
    assert counts(server.ask(system=hour)) == (0, 0, 782)
    server.clock.now += 3_590
    assert server.ask(system=hour).read
    server.clock.now += 3_601
    assert not server.ask(system=hour).read


def test_writes_are_split_by_lifetime(server: Server) -> None:
    messages = [said("user", text(LONG, "5m"), text("tail"))]
    first = server.ask(system=[text(LONG, "1h")], messages=messages)
    assert counts(first) == (0, 782, 782)
    assert first.input_tokens == 4
    second = server.ask(system=[text(LONG, "1h")], messages=[said("user", text("new", "5m"))])
    assert counts(second) == (782, 4, 0)


def test_a_growing_conversation_reads_what_it_wrote(server: Server) -> None:
    turns = [said("user", text(LONG, "5m"))]
    server.ask(messages=turns)
    turns = [said("user", text(LONG)), said("assistant", text("ok")), said("user", text("q", "5m"))]
    assert counts(server.ask(messages=turns)) == (782, 8, 0)


@pytest.mark.parametrize(("between", "read"), [(18, 782), (19, 0)])
def test_a_breakpoint_looks_back_over_twenty_positions(
    server: Server, between: int, read: int
) -> None:
    server.ask(messages=[said("user", text(LONG, "5m"))])
    row = [text(f"block {i}") for i in range(between)]
    turns = [said("user", text(LONG), *row, text("end", "5m"))]
    assert server.ask(messages=turns).read == read


def test_a_run_of_tool_blocks_counts_as_one_position(server: Server) -> None:
    ids = [f"t{i}" for i in range(30)]
    uses = [{"type": "tool_use", "id": i, "name": "f", "input": {}} for i in ids]
    results = [{"type": "tool_result", "tool_use_id": i, "content": "ok"} for i in ids]
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    server.ask(messages=[said("user", text(LONG, "5m"))], tools=tools)
    turns = [
        said("user", text(LONG)),
        said("assistant", *uses),
        said("user", *results, text("end", "5m")),
    ]
    assert server.ask(messages=turns, tools=tools).read > 782


def test_automatic_caching_marks_the_last_block(server: Server) -> None:
    automatic = {"cache_control": {"type": "ephemeral"}}
    turns = [said("user", text(LONG))]
    first = server.ask(messages=turns, **automatic)
    assert (first.write_5m, first.input_tokens) == (782, 0)
    turns = [*turns, said("assistant", text("ok")), said("user", text("q"))]
    assert server.ask(messages=turns, **automatic).read == 782


TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]
ROW = {"tools": TOOLS, "system": [text(LONG, "5m")], "messages": [said("user", text(LONG, "5m"))]}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"tools": [{"name": "g", "input_schema": {"type": "object"}}]}, "nothing"),
        ({"system": [text(LONG + "x", "5m")]}, "nothing"),
        ({"tool_choice": {"type": "none"}}, "system"),
        ({"thinking": {"type": "adaptive"}}, "system"),
        ({"output_config": {"effort": "low"}}, "system"),
        ({}, "all"),
    ],
)
def test_what_a_change_invalidates(server: Server, change: dict[str, Any], kept: str) -> None:
    first = server.ask(**ROW)
    tool = first.written - 2 * 782
    expected = {"nothing": 0, "system": tool + 782, "all": tool + 2 * 782}[kept]
    assert server.ask(**(ROW | change)).read == expected


def test_moving_a_breakpoint_does_not_change_the_prefix(server: Server) -> None:
    server.ask(system=[text(LONG, "5m"), text("more")])
    assert server.ask(system=[text(LONG, "1h"), text("more")]).read == 782


def test_thinking_that_the_model_does_not_see_does_not_count() -> None:
    block = {"type": "thinking", "thinking": "long thought " * 50, "signature": "s"}
    turns = [said("user", text("a")), said("assistant", block, text("b")), said("user", text("c"))]
    prompt = Prompt.model_validate({"model": OPUS, "messages": turns})
    ability = catalog().ability(OPUS)
    seen, unseen = (positions(prompt, ability, d) for d in (frozenset(), frozenset({(1, 0)})))
    assert len(unseen) == len(seen) - 1
    assert unseen[-1].tokens < seen[-1].tokens
