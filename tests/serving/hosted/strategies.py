"""Conversations, requests and answers as clients and Claude write them, for property tests."""

from typing import Any

from hypothesis import strategies as st

from serving.hosted.models import catalog
from tests.serving.hosted.fakes import weather_tool

MODELS = [*catalog().models, "claude-unknown-9"]

texts = st.text(max_size=12) | st.sampled_from([" ", "\n", "é", "a b"])
# What Claude, another engine and a weak model call tools.
names = st.sampled_from(["weather", "lookup", "lookup", "functions.weather:0", "x" * 130, ""])
ids = st.sampled_from(["call_1", "call_2", "call:3", "toolu_4"])
controls = st.sampled_from(
    [{}, {}, {"cache_control": {"type": "ephemeral"}},
     {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
     {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}]
)  # fmt: skip
parts = st.builds(lambda text, control: {"type": "text", "text": text, **control}, texts, controls)
images = st.sampled_from(["https://x.test/a.png", "data:image/png;base64,aGk="]).map(
    lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
)
files = st.sampled_from(
    ["data:application/pdf;base64,JVBERi0x", "JVBERi0x", "data:text/plain;base64,aGk="]
).map(lambda data: {"type": "file", "file": {"file_data": data, "filename": "f"}})
contents = texts | st.lists(parts, min_size=1, max_size=3)
arguments = st.sampled_from(
    ["{}", '{"city":"Rome"}', '{ "b" : 1.0, "a" : [1e2, {"é": null}] }', "[1]", "{broken", ""]
)
calls = st.builds(
    lambda call, name, text: {
        "id": call, "type": "function", "function": {"name": name, "arguments": text},
    },
    ids, names, arguments,
)  # fmt: skip


def message(role: str, content: Any, **extra: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **extra}


loose = st.one_of(
    st.builds(message, st.sampled_from(["system", "developer", "user"]), contents),
    st.builds(message, st.just("user"), st.lists(parts | images | files, min_size=1, max_size=3)),
    st.builds(message, st.just("assistant"), contents),
    st.builds(
        lambda content, made: message("assistant", content, tool_calls=made),
        st.none() | texts,
        st.lists(calls, min_size=1, max_size=2),
    ),
    st.builds(lambda call, text: message("tool", text, tool_call_id=call), ids, texts),
)


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A turn that is whole: a question, or a question with calls and all of their results."""
    made = [message("user", draw(contents))]
    if draw(st.booleans()):
        made.append(message("system", draw(texts)))
    if draw(st.booleans()):
        used = draw(st.lists(calls, min_size=1, max_size=2, unique_by=lambda c: c["id"]))
        made.append(message("assistant", None, tool_calls=used))
        made += [message("tool", draw(texts), tool_call_id=c["id"]) for c in used]
    return [*made, message("assistant", draw(contents))]


whole = st.lists(turns(), max_size=3).map(lambda found: [m for turn in found for m in turn])
fields = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.just([weather_tool(), weather_tool(name="lookup", strict=True)]),
        "tool_choice": st.sampled_from(["none", "auto", "required"]),
        "parallel_tool_calls": st.booleans(),
        "max_tokens": st.integers(1, 300_000),
        "stop": st.lists(texts, max_size=4),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "high", "xhigh", "odd"]),
        "user": texts | st.just("u" * 300),
        "response_format": st.just({"type": "json_object"}),
        "cache_control": st.sampled_from(
            [{"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}]
        ),
        "temperature": st.floats(0, 2),
    },
)

inputs = st.dictionaries(
    st.text(max_size=3),
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    max_size=2,
)
texts_of_claude = st.builds(lambda t: {"type": "text", "text": t}, st.text(min_size=1, max_size=20))
uses = st.builds(
    lambda i, given: {"type": "tool_use", "id": f"toolu_{i}", "name": "f", "input": given},
    st.integers(0, 9), inputs,
)  # fmt: skip
answer_blocks = st.one_of(
    texts_of_claude,
    st.builds(
        lambda t, s: {"type": "thinking", "thinking": t, "signature": s},
        st.text(max_size=10), st.text(min_size=1, max_size=5),
    ),
    st.builds(lambda d: {"type": "redacted_thinking", "data": d}, st.text(max_size=5)),
    uses,
)  # fmt: skip
