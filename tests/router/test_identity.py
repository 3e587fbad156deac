"""A turn is known by what stands before its last answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.identity import MAX_TURNS, WHOLE_CHARS, Identity, identify, key_of
from serving.wire.chat import Message

KEY = key_of("a secret")
SYSTEM = {"role": "system", "content": "You answer briefly."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def said(role: str, content: Any = "", **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def of(*messages: dict[str, Any], tenant: str = "acme", key: bytes = KEY) -> Identity:
    return identify([Message.model_validate(m) for m in messages], tenant=tenant, key=key)


def test_a_turn_names_the_turns_before_it() -> None:
    first = of(SYSTEM, said("user", "one"))
    second = of(SYSTEM, said("user", "one"), said("assistant", "1"), said("user", "two"))
    third = of(
        *(SYSTEM, said("user", "one"), said("assistant", "1"), said("user", "two")),
        *(said("assistant", "2"), said("user", "three")),
    )
    assert (first.before, first.first_turn, first.answered) == ((), True, 0)
    assert (second.before, second.answered) == ((first.here,), 2)
    assert (third.before, third.answered) == ((first.here, second.here), 4)
    assert not third.first_turn


def test_conversations_that_begin_alike_part_with_their_second_turn() -> None:
    opening = [SYSTEM, said("user", "hi"), said("assistant", "Hello! What can I do?")]
    one, other = of(*opening, said("user", "A")), of(*opening, said("user", "B"))
    assert one.before == other.before
    assert one.here != other.here


def test_examples_in_a_prompt_are_no_turn_that_anybody_took() -> None:
    """Each request has the same ones, so what goes before is the same and was never asked."""
    examples = [said("user", "2+2?"), said("assistant", "4"), said("user", "3+3?")]
    examples += [said("assistant", "6")]
    one, other = of(*examples, said("user", "4+4?")), of(*examples, said("user", "5+5?"))
    assert one.before == other.before
    assert {one.here, other.here}.isdisjoint(one.before)


def test_each_step_of_a_tool_loop_is_a_turn() -> None:
    call = {"id": "c1", "function": {"name": "look_up", "arguments": "{}"}}
    asked = [said("user", "weather?")]
    looked = [*asked, said("assistant", None, tool_calls=[call])]
    looked += [said("tool", "rain", tool_call_id="c1")]
    again = [*looked, said("assistant", None, tool_calls=[{**call, "id": "c2"}])]
    again += [said("tool", "wind", tool_call_id="c2")]
    assert of(*looked).before == (of(*asked).here,)
    assert of(*again).before == (of(*asked).here, of(*looked).here)


def test_assistant_messages_in_a_row_are_one_answer() -> None:
    first = of(said("user", "one"))
    second = of(said("user", "one"), said("assistant", "1"), said("assistant", "!"), said("user"))
    assert (second.before, second.answered) == ((first.here,), 1)


def test_only_the_latest_turns_are_looked_for() -> None:
    messages = [said("user", "0")]
    turns = [of(*messages).here]
    for n in range(MAX_TURNS + 5):
        messages += [said("assistant", f"a{n}"), said("user", f"u{n}")]
        found = of(*messages)
        turns.append(found.here)
    assert found.before == tuple(turns[-MAX_TURNS - 1 : -1])


CALL = {"id": "c", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([said("user", "ab")], [said("user", "a"), said("user", "b")]),
        ([said("user", "a")], [said("system", "a")]),
        ([said("user", ["ab"])], [said("user", ["a", "b"])]),
        ([said("user", [IMAGE])], [said("user", [{**IMAGE, "image_url": {"url": "x"}}])]),
        ([said("user", "x")], [said("user", "x"), said("user", "")]),
        ([said("user", "a\n4:user 1:b")], [said("user", "a"), said("user", "b")]),
        (
            [said("user", "a"), said("assistant", None, tool_calls=[CALL])],
            [said("user", "a"), said("assistant", None, tool_calls=[{**CALL, "id": "d"}])],
        ),
        (
            [said("user", "a"), said("tool", "r", tool_call_id="c")],
            [said("user", "a"), said("tool", "r", tool_call_id="d")],
        ),
    ],
)
def test_other_prompts_have_other_digests(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    def parts(message: dict[str, Any]) -> dict[str, Any]:
        content = message["content"]
        if not isinstance(content, list):
            return message
        listed = [{"type": "text", "text": p} if isinstance(p, str) else p for p in content]
        return {**message, "content": listed}

    assert of(*map(parts, one)).here != of(*map(parts, other)).here


def test_tenants_and_keys_are_apart() -> None:
    asked = said("user", "Where is my card?")
    digests = {of(asked).here, of(asked, tenant="other").here, of(asked, key=key_of(None)).here}
    assert len(digests) == 3
    assert all(len(digest) == 32 for digest in digests)


def test_a_plain_text_part_is_its_text() -> None:
    part = {"type": "text", "text": "Where is my card?"}
    assert of(said("user", [part])) == of(said("user", "Where is my card?"))


def test_a_huge_text_counts_by_its_ends_and_its_length() -> None:
    long = "a" * (2 * WHOLE_CHARS)
    assert of(said("user", long)).here != of(said("user", long + "a")).here
    assert of(said("user", long)).here != of(said("user", long[:-1] + "b")).here
    middle = f"{long[:WHOLE_CHARS]}b{long[WHOLE_CHARS + 1 :]}"
    assert of(said("user", long)).here == of(said("user", middle)).here


TEXT = st.text(max_size=8)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=MAX_TURNS)


@given(TURNS, TEXT)
def test_every_turn_finds_the_one_before_it(turns: list[tuple[str, str]], last: str) -> None:
    """Whatever the texts, lone surrogates included."""
    history: list[dict[str, Any]] = []
    seen = []
    for asked, answered in turns:
        history.append(said("user", asked))
        seen.append(of(*history).here)
        history.append(said("assistant", answered))
    assert of(*history, said("user", last)).before == tuple(seen)


def test_what_json_cannot_hold_has_a_digest_too() -> None:
    odd = {"type": "image_url", "image_url": {"url": "\ud800", "size": 2**70}}
    assert of(said("user", [odd])).here == of(said("user", [odd])).here
