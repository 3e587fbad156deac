"""A row of pieces is what the translation sends, and its keys are equal where prefixes are."""

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cache.prompt.blocks import PromptChain, marked
from cache.prompt.canonical import Canonicaliser
from cache.prompt.chain import Breakpoint
from serving.errors import InvalidRequest, TierRejected
from serving.hosted.emulator.positions import Position, positions
from serving.hosted.emulator.validate import CURRENT, parse_messages
from serving.hosted.models import catalog
from serving.hosted.translate.request import Target, to_anthropic
from serving.wire.chat import ChatRequest
from tests.cache.prompt.helpers import chain_of, chat, tool

MODELS = ["claude-opus-5-5", "claude-haiku-4-5"]
thorough = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)

texts = st.sampled_from(["", " ", "a", "b", "Hello.", "What now?"])
parts = st.builds(lambda text: {"type": "text", "text": text}, texts) | st.just(
    {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
)
plain = texts | st.lists(parts.filter(lambda p: p["type"] == "text"), min_size=1, max_size=3)
arguments = st.sampled_from(['{"q":"x","a":1}', '{"a": 1, "q": "x"}', "{}", "{broken"])


def claude(text: str) -> dict[str, Any]:
    """What an answer with thoughts leaves in the history."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    return {
        "provider": "anthropic",
        "model": MODELS[0],
        "content": [thought, {"type": "text", "text": text}],
    }


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    user = draw(texts | st.lists(parts, min_size=1, max_size=3))
    made: list[dict[str, Any]] = [{"role": "user", "content": user}]
    if draw(st.booleans()):
        made.append({"role": "system", "content": draw(plain)})
    if draw(st.booleans()):
        ids = draw(st.lists(st.sampled_from(["c1", "c2", "c:3"]), min_size=1, unique=True))
        use = [
            {
                "id": i,
                "type": "function",
                "function": {"name": "find", "arguments": draw(arguments)},
            }
            for i in ids
        ]
        made.append({"role": "assistant", "content": draw(st.none() | plain), "tool_calls": use})
        made += [{"role": "tool", "tool_call_id": i, "content": draw(plain)} for i in ids]
    answer: dict[str, Any] = {"role": "assistant", "content": draw(plain)}
    if isinstance(answer["content"], str) and draw(st.booleans()):
        answer["provider_content"] = claude(answer["content"])
    return [*made, answer]


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    lead = [{"role": "system", "content": c} for c in draw(st.lists(plain, max_size=2))]
    talk = [m for turn in draw(st.lists(turns(), max_size=3)) for m in turn]
    last = draw(st.sampled_from(["Why?", "And now?", [{"type": "text", "text": "Why?"}]]))
    if talk or not lead or draw(st.booleans()):
        talk.append({"role": "user", "content": last})
    fields: dict[str, Any] = {}
    if draw(st.booleans()):
        fields["tools"] = [tool(name) for name in draw(st.permutations(["find", "list", "add"]))]
    if draw(st.booleans()):
        fields["response_format"] = {"type": "json_object"}
    if draw(st.booleans()):
        fields["reasoning_effort"] = draw(st.sampled_from(["low", "high"]))
    return chat(*lead, *talk, **fields)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[ChatRequest, ChatRequest]:
    """Two requests that begin alike: the second goes on, or one thing in it is another."""
    one = draw(requests())
    body = one.wire()
    change = draw(st.sampled_from(["turn", "message", "tools", "choice", "effort", "format"]))
    if change == "turn":
        body["messages"] += [*draw(turns()), {"role": "user", "content": "And then?"}]
    elif change == "message":
        at = draw(st.integers(0, len(body["messages"]) - 1))
        body["messages"][at] |= {"content": "Something else."}
    elif change == "tools":
        body["tools"] = [tool("find"), tool("list", description="Another one.")]
    elif change == "choice":
        body["tool_choice"] = "none"
    elif change == "effort":
        body["reasoning_effort"] = "medium"
    else:
        schema = {"type": "object", "properties": {"x": {"type": "string"}}}
        body["response_format"] = {
            "type": "json_schema", "json_schema": {"name": "x", "schema": schema},
        }  # fmt: skip
    return one, ChatRequest.model_validate(body)


def rows(request: ChatRequest, model: str) -> list[Position]:
    """The positions that the API makes of a request; nothing where it is refused by name."""
    try:
        kwargs = to_anthropic(request, Target(model, 1_000), catalog()).kwargs
    except (InvalidRequest, TierRejected):
        assume(False)
    prompt = parse_messages(json.loads(json.dumps(kwargs)), CURRENT)
    return positions(prompt, catalog().ability(model))


def chained(request: ChatRequest, model: str) -> PromptChain:
    return chain_of(request, model=model, mid_system=catalog().ability(model).mid_system)


@thorough
@given(requests(), st.sampled_from(MODELS), st.data())
def test_every_piece_is_a_position_and_a_mark_on_it_arrives_there(
    request: ChatRequest, model: str, data: st.DataObject
) -> None:
    request = Canonicaliser()(request).request
    sent, chain = rows(request, model), chained(request, model)
    assert [b.position for b in chain.blocks] == [row.slot for row in sent]
    can = [i for i, block in enumerate(chain.blocks) if block.may_break]
    if not can:
        return
    index = data.draw(st.sampled_from(can))
    there = rows(marked(request, chain, [Breakpoint(index, "1h")]), model)
    assert [i for i, row in enumerate(there) if row.ttl] == [index]
    assert there[index].ttl == "1h"
    assert [row.digest for row in there] == [row.digest for row in sent]


@thorough
@given(pairs(), st.sampled_from(MODELS))
def test_keys_are_equal_exactly_where_prefixes_are(
    both: tuple[ChatRequest, ChatRequest], model: str
) -> None:
    one, other = (Canonicaliser()(request).request for request in both)
    sent = zip(rows(one, model), rows(other, model), strict=False)
    blocks = zip(chained(one, model).blocks, chained(other, model).blocks, strict=False)
    assert [a.key == b.key for a, b in blocks] == [a.digest == b.digest for a, b in sent]


@thorough
@given(requests(), st.sampled_from(MODELS))
def test_a_client_s_breakpoints_are_read_as_they_are_sent(request: ChatRequest, model: str) -> None:
    request = Canonicaliser()(request).request
    chain = chained(request, model)
    points = [Breakpoint(i, "5m") for i, block in enumerate(chain.blocks) if block.may_break][:4]
    assert chained(marked(request, chain, points), model).own == tuple(points)
