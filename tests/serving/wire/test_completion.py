"""Answers cut into chunks and put together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.wire.completion import (
    Assembler,
    Choice,
    Chunk,
    Completion,
    TokenLogprob,
    ToolCallPart,
    Usage,
    as_chunks,
)

CALLS = st.lists(
    st.builds(ToolCallPart, st.just(0), st.text(), st.text(), st.text()), max_size=3
).map(lambda calls: tuple(ToolCallPart(i, c.id, c.name, c.arguments) for i, c in enumerate(calls)))
LOGPROBS = st.lists(st.builds(TokenLogprob, st.text(), st.floats(-9, 0)), max_size=3).map(tuple)


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    choices = [
        Choice(
            index=i,
            content=draw(st.text()),
            tool_calls=draw(CALLS),
            finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls"])),
            refusal=draw(st.none() | st.text(min_size=1)),
            reasoning=draw(st.none() | st.text(min_size=1)),
            logprobs=draw(st.none() | LOGPROBS),
            provider_content=draw(st.none() | st.just({"a": 1})),
        )
        for i in range(draw(st.integers(1, 3)))
    ]
    return Completion("id", 1, "m", tuple(choices), Usage(1, 2, 3))


@given(completions(), st.integers(1, 5))
def test_what_was_cut_is_put_together_again(completion: Completion, pieces: int) -> None:
    assembler = Assembler()
    for chunk in as_chunks(completion, pieces=pieces):
        assert not assembler.usage
        assembler.add(chunk)
    assert assembler.finished
    assert assembler.completion() == completion


def test_a_stream_that_broke_off_is_not_finished() -> None:
    assembler = Assembler()
    with pytest.raises(ValueError, match="no chunk"):
        assembler.completion()
    assembler.add(Chunk("id", 1, "m", role="assistant", content="Hel"))
    assembler.add(Chunk("id", 1, "m", index=1, content="x", finish_reason="stop"))
    assert not assembler.finished
    partial = assembler.completion()
    assert [c.content for c in partial.choices] == ["Hel", "x"]
    assert partial.usage.estimated


def test_pieces_of_calls_and_logprobs_are_joined_in_order() -> None:
    assembler = Assembler()
    token = TokenLogprob("t", -0.5)
    for chunk in (
        Chunk("id", 1, "m", role="assistant"),
        Chunk("id", 1, "m", tool_calls=(ToolCallPart(1, "b", "g"), ToolCallPart(0, "a", "f", "{"))),
        Chunk("id", 1, "m", tool_calls=(ToolCallPart(0, arguments='"x":'),), logprobs=(token,)),
        Chunk("id", 1, "m", tool_calls=(ToolCallPart(0, arguments="1}"),), logprobs=(token, token)),
        Chunk("id", 1, "m", finish_reason="tool_calls"),
    ):
        assembler.add(chunk)
    (choice,) = assembler.completion().choices
    assert choice.tool_calls == (ToolCallPart(0, "a", "f", '{"x":1}'), ToolCallPart(1, "b", "g"))
    assert choice.logprobs == (token,) * 3
    assert (choice.content, choice.finish_reason) == (None, "tool_calls")
    assert assembler.completion() == assembler.completion()
