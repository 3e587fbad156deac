from typing import Any

import pytest

from serving.errors import InvalidRequest, TierRejected
from serving.hosted.translate.messages import OPENING, Conversation, conversation
from serving.wire.chat import Message


def talk(*messages: dict[str, Any], mid_system: bool = True, prefill: bool = False) -> Conversation:
    made = [Message.model_validate(m) for m in messages]
    return conversation(made, mid_system=mid_system, prefill=prefill)


def said(role: str, text: str | None, **extra: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **extra}


def calls(*ids: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    made = [{"id": i, "type": "function", "function": function} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(call_id: str, text: str = "sunny") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def outline(found: Conversation) -> list[tuple[str, list[str]]]:
    def word(block: dict[str, Any]) -> str:
        return str(block.get("text") or block.get("tool_use_id") or block.get("id"))

    return [(m["role"], [word(b) for b in m["content"]]) for m in found.messages]


def test_leading_system_and_developer_messages_become_system() -> None:
    found = talk(said("system", "A"), said("developer", "B"), said("user", "Hi"))
    assert [b["text"] for b in found.system] == ["A", "B"]
    assert outline(found) == [("user", ["Hi"])]


def test_trap_36559_a_later_system_message_stays_behind_what_came_before_it() -> None:
    found = talk(
        said("system", "S"),
        said("user", "1"),
        said("assistant", "2"),
        said("system", "from now on in French"),
        said("user", "3"),
    )
    assert [b["text"] for b in found.system] == ["S"]
    assert outline(found) == [
        ("user", ["1"]),
        ("assistant", ["2"]),
        ("user", ["3"]),
        ("system", ["from now on in French"]),
    ]


def test_trap_36559_where_the_model_has_no_such_role_it_is_said_in_place() -> None:
    found = talk(
        said("user", "1"),
        said("assistant", "2"),
        said("system", "in French"),
        said("user", "3"),
        mid_system=False,
    )
    assert found.system == []
    assert outline(found)[2:] == [("user", ["<system>\nin French\n</system>", "3"])]


def test_a_system_message_with_no_user_turn_to_follow_is_framed_too() -> None:
    found = talk(said("user", "1"), said("assistant", "2"), said("system", "go on"))
    assert outline(found)[2:] == [("user", ["<system>\ngo on\n</system>"])]


def test_a_conversation_that_grows_keeps_its_prefix() -> None:
    history = [said("system", "S"), said("user", "1"), said("system", "X"), said("assistant", "2")]
    before = talk(*history, said("user", "3"), prefill=True)
    after = talk(*history, said("user", "3"), said("assistant", "4"), said("user", "5"))
    assert after.messages[: len(before.messages)] == before.messages


def test_trap_16525_consecutive_results_are_one_user_turn() -> None:
    found = talk(said("user", "q"), calls("a", "b"), result("b"), result("a"), said("user", "and?"))
    assert outline(found) == [
        ("user", ["q"]),
        ("assistant", ["a", "b"]),
        ("user", ["b", "a", "and?"]),
    ]
    assert found.called == ("weather",)


def test_results_come_first_whatever_stands_between_them() -> None:
    found = talk(
        said("user", "q"),
        calls("a", "b"),
        result("a"),
        said("user", "wait"),
        said("system", "rule"),
        result("b"),
    )
    assert outline(found)[2:] == [("user", ["a", "b", "wait"]), ("system", ["rule"])]


@pytest.mark.parametrize(
    ("messages", "names"),
    [
        ([said("user", "q"), calls("a", "b"), result("a")], "b"),
        ([said("user", "q"), calls("a"), said("user", "never mind")], "a"),
        ([said("user", "q"), calls("a"), said("assistant", "done")], "a"),
        ([said("user", "q"), calls("a")], "a"),
        ([said("user", "q"), calls("a"), result("a"), result("a")], "a"),
        ([said("user", "q"), result("orphan")], "orphan"),
        ([said("user", "q"), calls("twin", "twin"), result("twin")], "twin"),
    ],
)
def test_trap_16525_calls_and_results_that_do_not_match_are_named(
    messages: list[dict[str, Any]], names: str
) -> None:
    with pytest.raises(InvalidRequest, match=names):
        talk(*messages)


def test_ids_of_other_engines_are_made_acceptable_and_still_meet() -> None:
    odd = "call:1/ü"
    found = talk(said("user", "q"), calls(odd, "call:1/x"), result(odd), result("call:1/x"))
    first, second = found.messages[1]["content"]
    assert first["id"] != second["id"]
    assert [b["tool_use_id"] for b in found.messages[2]["content"]] == [first["id"], second["id"]]
    assert first["id"].replace("_", "").isalnum()


def test_an_id_that_an_engine_uses_again_in_a_later_turn_gets_a_number() -> None:
    found = talk(
        said("user", "q"), calls("call_0"), result("call_0"), said("assistant", "a"),
        said("user", "r"), calls("call_0"), result("call_0"), calls("call_0"), result("call_0"),
    )  # fmt: skip
    sent = [b["id"] for m in found.messages for b in m["content"] if b["type"] == "tool_use"]
    met = [
        b["tool_use_id"] for m in found.messages for b in m["content"] if b["type"] == "tool_result"
    ]
    assert sent == met == ["call_0", "call_0_2", "call_0_3"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("{broken", {"invalid_json": "{broken"}),
        ("[1]", {"value": [1]}),
        ('{"a": NaN}', {"invalid_json": '{"a": NaN}'}),
        ('{"a": 1e999}', {"invalid_json": '{"a": 1e999}'}),
        ('{"a": "\\ud800"}', {"invalid_json": '{"a": "\\ud800"}'}),
        ("[" * 100_000, {"invalid_json": "[" * 100_000}),
    ],
)
def test_arguments_that_are_no_object_stay_readable(arguments: str, sent: dict[str, Any]) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    found = talk(said("user", "q"), turn, result("a"))
    assert found.messages[1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": sent}
    ]


def test_a_conversation_that_opens_with_the_assistant_gets_an_opening() -> None:
    found = talk(said("system", "S"), said("assistant", "Hello!"), said("user", "Hi"))
    assert outline(found)[:2] == [("user", [OPENING]), ("assistant", ["Hello!"])]


def test_system_messages_alone_are_what_the_user_asks() -> None:
    found = talk(said("system", "Write a haiku."))
    assert found.system == []
    assert outline(found) == [("user", ["Write a haiku."])]


def test_consecutive_turns_join_and_silent_ones_vanish() -> None:
    found = talk(
        said("user", "1"), said("assistant", ""), said("user", "2"), said("user", "  "),
        said("assistant", "3"), said("assistant", "4"), said("user", "5"),
    )  # fmt: skip
    assert outline(found) == [
        ("user", ["1", "2"]),
        ("assistant", ["3", "4"]),
        ("user", ["5"]),
    ]


def test_nothing_said_at_all_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="no content"):
        talk(said("user", " "))


def test_a_prefill_is_refused_where_the_model_refuses_it() -> None:
    turns = [said("user", "1"), said("assistant", "The answer is ")]
    with pytest.raises(TierRejected) as caught:
        talk(*turns)
    assert caught.value.code == "prefill_not_supported"
    assert outline(talk(*turns, prefill=True))[1] == ("assistant", ["The answer is"])


def test_a_refusal_in_the_history_is_said_again() -> None:
    found = talk(said("user", "1"), said("assistant", None, refusal="I can't."), said("user", "2"))
    assert outline(found)[1] == ("assistant", ["I can't."])


def test_functions_of_the_old_api_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="use tools"):
        talk(said("user", "1"), said("function", "x", name="f"))


def test_a_result_carries_its_error_images_and_breakpoint() -> None:
    control = {"type": "ephemeral"}
    part = {"type": "text", "text": "boom", "cache_control": control}
    url = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    answer = {"role": "tool", "tool_call_id": "a", "content": [part, url], "is_error": True}
    found = talk(said("user", "q"), calls("a"), answer)
    (block,) = found.messages[2]["content"]
    assert block["is_error"] is True
    assert block["cache_control"] == control
    assert [b["type"] for b in block["content"]] == ["text", "image"]
    assert "cache_control" not in block["content"][0]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_images_where_claude_takes_only_text_are_refused(role: str) -> None:
    url = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    with pytest.raises(TierRejected, match="only text"):
        talk({"role": role, "content": [url]}, said("user", "q"))


def test_names_that_no_tool_can_have_are_made_acceptable() -> None:
    """A history may hold calls of another engine, or what a weak model made up."""
    function = {"name": "functions.weather:0", "arguments": "{}"}
    nameless = {"name": "", "arguments": "{}"}
    made = [
        {"id": i, "type": "function", "function": f} for i, f in (("a", function), ("b", nameless))
    ]
    turn = {"role": "assistant", "content": None, "tool_calls": made}
    found = talk(said("user", "q"), turn, result("a"), result("b"))
    assert [b["name"] for b in found.messages[1]["content"]] == ["functions_weather_0", "_"]
    assert found.called == ("functions_weather_0", "_")


def test_an_answer_in_sound_alone_is_refused_and_not_passed_over() -> None:
    turn = {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}
    with pytest.raises(TierRejected, match="audio"):
        talk(said("user", "q"), turn, said("user", "r"))


def test_what_has_no_field_is_named() -> None:
    def image(**more: Any) -> dict[str, Any]:
        url = {"url": "https://x.test/a.png", **more}
        return {"role": "user", "content": [{"type": "image_url", "image_url": url}]}

    assert talk(image(), image(detail="auto")).lost == ()
    assert talk(image(detail="low")).lost == ("messages.image_url.detail",)
    assert talk(said("user", "Hi", name="Ann"), image(detail=[])).lost == (
        "messages.name",
        "messages.image_url.detail",
    )
