"""What the cascade keeps of a request that is parked comes back as it was, or not at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.journal import NOTHING, Kept, KeptAnswer, dump, load
from router.steps import Aborted, Answered, Failed, Outcome
from serving.wire.completion import Choice, Completion, TokenLogprob, ToolCallPart, Usage

texts = st.text(st.characters(codec=None), max_size=20)
tiers = st.sampled_from(["small", "large", "top"])
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Failed, tiers, st.sampled_from(["timeout", "rejected"]), texts, st.booleans()),
    st.builds(Aborted, tiers, texts, texts),
    st.builds(Answered, tiers, st.lists(texts, max_size=2).map(tuple), st.booleans(), texts),
)
choices = st.builds(
    Choice,
    content=st.none() | texts,
    tool_calls=st.builds(ToolCallPart, st.integers(0, 3), texts, texts, texts).map(lambda c: (c,)),
    reasoning=st.none() | texts,
    logprobs=st.none() | st.builds(TokenLogprob, texts, st.floats(max_value=0)).map(lambda t: (t,)),
    provider_content=st.none() | st.fixed_dictionaries({"content": st.lists(texts, max_size=2)}),
)
answers = st.builds(
    KeptAnswer,
    st.builds(
        Completion,
        texts,
        st.integers(),
        texts,
        st.lists(choices, max_size=2).map(tuple),
        st.builds(Usage, st.integers(0), st.integers(0)),
    ),
    st.none() | texts,
    st.none() | st.floats(max_value=0),
)


@st.composite
def kept(draw: st.DrawFn) -> Kept:
    found = tuple(draw(st.lists(outcomes, max_size=5)))
    answered = {o.tier for o in found if isinstance(o, Answered)}
    return Kept(found, {tier: draw(answers) for tier in sorted(answered)})


@given(kept())
def test_it_comes_back_as_it_was(found: Kept) -> None:
    assert load(json.loads(json.dumps(dump(found)))) == found


@pytest.mark.parametrize(
    "past",
    [
        None,
        {},
        {"version": 2, "outcomes": [], "answers": {}},
        {"version": 1, "outcomes": [{"kind": "answered", "tier": "t"}], "answers": {}},
        {"version": 1, "outcomes": [{"kind": "unheard of", "tier": "t"}], "answers": {}},
        {"version": 1, "outcomes": "x", "answers": []},
    ],
)
def test_what_cannot_be_read_is_nothing(past: dict[str, Any] | None) -> None:
    assert load(past) == NOTHING
