from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.openai_compatible.pieces import Pieces
from serving.errors import TierProtocolError
from serving.wire.completion import Chunk, ToolCallPart, Usage
from tests.serving.engines.helpers import ask, assembled, check_order
from tests.serving.engines.openai_compatible.fake import counted, piece


def chunks(*events: dict[str, Any]) -> list[Chunk]:
    pieces = Pieces("local", "asked-model", ask())
    found = [chunk for event in events for chunk in pieces.read(event)]
    return [*found, *pieces.end()]


def called(index: int | None = 0, **call: Any) -> dict[str, Any]:
    function = {k: v for k, v in call.items() if k != "id"}
    made = {"index": index, "id": call.get("id"), "type": "function", "function": function}
    return piece(tool_calls=[made])


def test_roles_and_ends_are_put_in_order() -> None:
    found = chunks(piece(content="a"), piece(role="assistant", content="b"), piece(finish="stop"))
    check_order(found)
    assert [c.content for c in found] == ["a", "b", None, None]


def test_empty_pieces_are_left_out() -> None:
    found = chunks(
        piece(role="assistant", content=""), piece(content=""), piece(), piece(finish="stop")
    )
    check_order(found)
    assert len(found) == 3


def test_what_comes_after_the_end_is_left_out() -> None:
    found = chunks(
        piece(content="a"), piece(finish="stop"), piece(content="b"), piece(finish="length")
    )
    assert assembled(found).first.content == "a"
    assert assembled(found).first.finish_reason == "stop"


def test_the_last_usage_counts() -> None:
    event = {**piece(content="a"), "usage": {"prompt_tokens": 7, "completion_tokens": 1}}
    found = chunks(event, piece(finish="stop"), counted(7, 2))
    check_order(found)
    assert assembled(found).usage == Usage(7, 2)


def test_a_missing_usage_is_estimated() -> None:
    usage = assembled(chunks(piece(content="On its way to you."), piece(finish="stop"))).usage
    assert usage.estimated
    assert 3 <= usage.completion_tokens <= 9
    events = [piece(content=t) for t in "abc"]
    for event, token in zip(events, "abc", strict=True):
        event["choices"][0]["logprobs"] = {"content": [{"token": token, "logprob": -0.1}]}
    found = assembled(chunks(*events, piece(finish="stop")))
    assert found.usage.completion_tokens == 3
    assert found.first.logprobs is not None
    assert len(found.first.logprobs) == 3


def test_calls_have_one_id_and_one_name_whatever_the_server_repeats() -> None:
    found = chunks(
        called(id="c1", name="f", arguments=""),
        called(id="c1", name="f", arguments='{"a"'),
        called(name="", arguments=": 1}"),
        piece(finish="tool_calls"),
    )
    check_order(found)
    parts = [p for c in found for p in c.tool_calls]
    assert [(p.id, p.name) for p in parts] == [("c1", "f"), (None, None), (None, None)]
    assert assembled(found).first.tool_calls == (ToolCallPart(0, "c1", "f", '{"a": 1}'),)


def test_calls_without_an_id_or_index_and_with_a_late_name() -> None:
    found = assembled(
        chunks(
            called(None, arguments=""), called(None, name="f", arguments="{}"), piece(finish="stop")
        )
    )
    (call,) = found.first.tool_calls
    assert (call.name, call.arguments) == ("f", "{}")
    assert call.id
    assert call.id.startswith("call_")


def test_a_call_without_a_name_is_none() -> None:
    with pytest.raises(TierProtocolError, match="names no function"):
        chunks(called(id="c1", arguments="{}"), piece(finish="tool_calls"))


def test_unknown_fields_are_joined_for_the_next_turn() -> None:
    found = assembled(
        chunks(
            piece(content="a", details=[{"i": 0}], signature="s1", flag=True),
            piece(details=[{"i": 1}], signature="s2", flag=False),
            piece(finish="stop"),
        )
    )
    assert found.first.provider_content == {
        "provider": "openai",
        "model": "asked-model",
        "content": [{"details": [{"i": 0}, {"i": 1}], "signature": "s1s2", "flag": False}],
    }


@pytest.mark.parametrize(
    "events",
    [
        [],
        [counted()],
        [piece(content="a")],
        [piece(content="a"), piece(1, content="b"), piece(1, "stop")],
    ],
)
def test_streams_that_end_too_early(events: list[dict[str, Any]]) -> None:
    with pytest.raises(TierProtocolError, match="broke off"):
        chunks(*events)


texts = st.lists(st.text(max_size=5), max_size=6)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_any_cut_and_order_of_choices_amounts_to_the_same(
    choices: list[tuple[list[str], list[str]]], random: Any
) -> None:
    queues = []
    for index, (content, thoughts) in enumerate(choices):
        events = [piece(index, content=t) for t in content]
        events += [piece(index, reasoning_content=t) for t in thoughts]
        queues.append([*events, piece(index, "stop")])
    events = []
    while any(queues):
        events.append(random.choice([q for q in queues if q]).pop(0))
    found = chunks(*events, counted())
    check_order(found)
    for choice, (content, thoughts) in zip(assembled(found).choices, choices, strict=True):
        assert (choice.content or "") == "".join(content)
        assert (choice.reasoning or "") == "".join(thoughts)
        assert choice.finish_reason == "stop"
