"""What is moved, and what stays."""

import json
from typing import Any

from cache.prompt.invalidators import Found
from cache.prompt.moving import moved
from serving.hosted.models import catalog
from serving.hosted.translate.request import Target, to_anthropic
from serving.wire.chat import ChatRequest
from tests.cache.prompt.helpers import OPUS, chain_of, chat, rules, system


def found(text: str, value: str, path: str = "system[0]", index: int = 0) -> Found:
    return Found("timestamp", path, text.index(value), len(value), index, 5, 5)


def texts(request: ChatRequest) -> list[str]:
    """The system prompt as it is sent."""
    kwargs = to_anthropic(request, Target(OPUS, 1_000), catalog()).kwargs
    return [block["text"] for block in kwargs["system"]]


def after(request: ChatRequest, *what: Found) -> list[str] | None:
    change = moved(request, chain_of(request), what)
    return None if change is None else texts(change.request)


def test_the_line_moves_to_the_end() -> None:
    text = "You help.\nIt is 10:03 now.\nBe kind."
    assert after(chat(system(text), "Hi"), found(text, "10:03")) == [
        "You help.\nBe kind.",
        "It is 10:03 now.",
    ]


def test_lines_keep_their_order_and_values_of_one_line_go_together() -> None:
    text = "Request 17 at 10:03\nYou help.\nDay: Monday\nBe kind."
    what = [found(text, "Monday"), found(text, "17"), found(text, "10:03")]
    assert after(chat(system(text), "Hi"), *what) == [
        "You help.\nBe kind.",
        "Request 17 at 10:03\nDay: Monday",
    ]


def test_of_a_long_line_the_sentence_moves() -> None:
    text = "You help customers. " * 20 + "It is 10:03 now! " + "Be kind to all of them. " * 20
    moved_to = after(chat(system(text), "Hi"), found(text, "10:03"))
    assert moved_to is not None
    assert moved_to[1] == "It is 10:03 now!"
    assert moved_to[0] == text.replace("It is 10:03 now! ", "")


def test_a_sentence_without_end_stays() -> None:
    text = "and so on " * 60 + "10:03 " + "and so on " * 60
    assert after(chat(system(text), "Hi"), found(text, "10:03")) is None


def test_over_several_messages_and_parts() -> None:
    parts = [{"type": "text", "text": "It is 10:03."}, {"type": "text", "text": "Be kind."}]
    request = chat(system(parts), system("You help."), "Hi")
    assert after(request, found("It is 10:03.", "10:03")) == [
        "Be kind.",
        "You help.",
        "It is 10:03.",
    ]


def test_a_prompt_of_nothing_else_stays() -> None:
    text = "It is 10:03."
    assert after(chat(system(text), "Hi"), found(text, "10:03")) is None


def test_only_values_of_the_system_prompt_are_moved() -> None:
    request = chat(system("You help."), "It is 10:03.", "Hi")
    assert after(request, found("It is 10:03.", "10:03", "messages[1]", 1)) is None
    text = 'You help. {"b": 1, "a": 2}'
    order = Found("unsorted_json", "system[0]", 10, 5, 0, 5, 5)
    assert after(chat(system(text), "Hi"), order) is None


def test_nothing_but_the_system_prompt_changes() -> None:
    text = f"It is 10:03 now.\n{rules(3)}"
    request = chat(system(text), "Hi", {"role": "assistant", "content": "Hello."}, "Why?")
    change = moved(request, chain_of(request), [found(text, "10:03")])
    assert change is not None
    assert change.paths == ("system[0]",)
    before: Any = json.loads(request.model_dump_json())
    now: Any = json.loads(change.request.model_dump_json())
    assert before["messages"][1:] == now["messages"][1:]
    assert request == chat(system(text), "Hi", {"role": "assistant", "content": "Hello."}, "Why?")
