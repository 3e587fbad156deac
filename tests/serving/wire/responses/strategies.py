"""Answers of tiers, whole and in pieces."""

from dataclasses import replace

from hypothesis import strategies as st

from serving.wire.completion import Choice, Chunk, Completion, ToolCallPart, Usage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SAID = TEXT.filter(bool)
HEAD = Chunk("id", 1_700_000_000, "m")


@st.composite
def calls(draw: st.DrawFn) -> tuple[ToolCallPart, ...]:
    texts = draw(st.lists(TEXT, max_size=3))
    return tuple(ToolCallPart(n, f"call_{n}", f"f{n}", text) for n, text in enumerate(texts))


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    tools = draw(calls())
    blocks = {"provider": "anthropic", "model": "m", "content": []}
    return Choice(
        0,
        content=draw(st.none() | TEXT),
        tool_calls=tools,
        finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls"])),
        refusal=draw(st.none() | SAID),
        reasoning=draw(st.none() | SAID),
        provider_content=draw(st.sampled_from([None, blocks])),
    )


@st.composite
def streams(draw: st.DrawFn) -> tuple[Choice, list[Chunk]]:
    """An answer, and chunks that it may come as."""
    choice = draw(choices())
    chunks = [replace(HEAD, role="assistant", content="")]
    for name in ("reasoning", "content", "refusal"):
        text = getattr(choice, name) or ""
        chunks += [_saying(name, piece) for piece in _cut(draw, text)]
    for call in choice.tool_calls:
        chunks.append(replace(HEAD, tool_calls=(replace(call, arguments=""),)))
        for piece in _cut(draw, call.arguments):
            chunks.append(replace(HEAD, tool_calls=(ToolCallPart(call.index, arguments=piece),)))
    last = replace(HEAD, finish_reason=choice.finish_reason)
    chunks.append(replace(last, provider_content=choice.provider_content))
    return choice, chunks


def _saying(name: str, piece: str) -> Chunk:
    match name:
        case "reasoning":
            return replace(HEAD, reasoning=piece)
        case "refusal":
            return replace(HEAD, refusal=piece)
    return replace(HEAD, content=piece)


def _cut(draw: st.DrawFn, text: str) -> list[str]:
    at = draw(st.integers(0, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]


def whole(choice: Choice) -> Completion:
    return Completion("id", 1_700_000_000, "m", (choice,), Usage(3, 2))
