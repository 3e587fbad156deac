"""Input items become the messages of a chat, and answers come back as items."""

import json
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice
from serving.wire.responses.items import Item, stored
from serving.wire.responses.output import output_items
from serving.wire.responses.request import ResponseRequest
from serving.wire.responses.to_chat import as_chat, messages
from tests.serving.wire.responses.strategies import choices

PIXEL = "data:image/png;base64,AAAA"


def asked(**body: Any) -> ResponseRequest:
    return ResponseRequest.model_validate({"model": "auto", "input": "Hi", **body})


def chat(**body: Any) -> ChatRequest:
    return ChatRequest.model_validate(as_chat(asked(**body)))


@given(choices())
def test_an_answer_that_is_sent_back_is_the_turn_that_it_was(choice: Choice) -> None:
    items = output_items(choice, "a" * 32, top_logprobs=None)
    wire = json.loads(json.dumps(list(items.values())))
    (message,) = messages([Item.model_validate(item) for item in wire])
    assert (message["content"] or "") == (choice.content or "")
    assert message.get("refusal") == choice.refusal
    assert message.get("provider_content") == choice.provider_content
    called = [(c["id"], *c["function"].values()) for c in message.get("tool_calls", ())]
    assert called == [(c.id, c.name, c.arguments) for c in choice.tool_calls]


@given(choices())
def test_what_is_stored_says_the_same(choice: Choice) -> None:
    found = output_items(choice, "b" * 32, top_logprobs=None)
    items = [Item.model_validate(item) for item in found.values()]
    kept = [Item.model_validate(item) for item in stored(items, "c" * 32)]
    assert messages(kept) == messages(items)


def test_parameters_stand_where_a_chat_has_them() -> None:
    found = chat(
        instructions="Be brief.",
        max_output_tokens=7,
        reasoning={"effort": "low", "summary": None},
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": None}],
        tool_choice={"type": "function", "name": "f"},
        top_logprobs=2,
        stepwell={"task": "t"},
        top_k=5,
        prompt_cache_key="k",
    )
    assert [(m.role, m.content) for m in found.messages] == [
        ("system", "Be brief."),
        ("user", "Hi"),
    ]
    wire = found.wire()
    assert wire["max_completion_tokens"] == 7
    assert wire["reasoning_effort"] == "low"
    assert wire["response_format"] == {"type": "json_object"}
    assert wire["verbosity"] == "low"
    assert wire["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert wire["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert (wire["logprobs"], wire["top_logprobs"]) == (True, 2)
    assert (wire["top_k"], wire["prompt_cache_key"]) == (5, "k")
    assert found.options.task == "t"


def test_parts_and_outputs_of_functions() -> None:
    parts = [
        {"type": "input_text", "text": "See:", "cache_control": {"type": "ephemeral"}},
        {"type": "input_image", "image_url": PIXEL, "detail": "low", "file_id": None},
        {"type": "input_file", "file_data": "data:text/plain,x", "filename": "x.txt"},
    ]
    called = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": parts[:1]}
    found = as_chat(asked(input=[{"role": "user", "content": parts}, called, output]))["messages"]
    text = {"type": "text", "text": "See:", "cache_control": {"type": "ephemeral"}}
    assert found[0]["content"] == [
        text,
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:text/plain,x", "filename": "x.txt"}},
    ]
    assert found[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert found[2] == {"role": "tool", "tool_call_id": "c", "content": [text]}


def test_several_turns_stay_several() -> None:
    def say(text: str) -> dict[str, Any]:
        return {"role": "assistant", "content": text}

    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "x"}]}
    found = as_chat(asked(input=[say("a"), say("b"), thought, say("c")]))["messages"]
    assert [m["content"] for m in found] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"type": "function_call", "call_id": "c", "name": "f"},
        {"type": "function_call_output", "output": "x"},
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"},
        {"role": "critic", "content": "x"},
        {"role": "user"},
        {"role": "user", "content": [{"type": "input_audio", "text": "x"}]},
        {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
        {"role": "user", "content": [{"type": "input_text"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
            ],
        },
    ],
)
def test_items_that_are_not_whole_or_not_known(item: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asked(input=[item])


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"max_tokens": 5},
        {"input": None},
        {"input": []},
        {"tool_choice": {"type": "function", "name": "g"}},
        {"text": {"format": {"type": "json_schema", "name": "n"}}},
        {"stream_options": {"include_obfuscation": False}},
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        {"metadata": {str(n): "" for n in range(17)}},
        {"tools": [{"type": "function", "name": "f", "defer_loading": True}]},
    ],
)
def test_requests_that_cannot_be_met(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asked(**body)


def test_what_openai_itself_would_ignore_is_let_be() -> None:
    assert asked(include=["file_search_call.results"], max_tool_calls=3, truncation="disabled")
