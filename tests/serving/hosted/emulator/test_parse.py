from typing import Any

from serving.hosted.emulator.parse import to_chat
from serving.hosted.emulator.wire import MessagesRequest
from tests.serving.hosted.fakes import OPUS

SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


def parsed(**fields: Any) -> dict[str, Any]:
    base = {"model": OPUS, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    return to_chat(MessagesRequest.model_validate(base | fields), 40).wire()


def test_a_plain_request() -> None:
    assert parsed() == {
        "model": OPUS,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_completion_tokens": 40,
        "stream": True,
    }


def test_a_conversation_with_tools() -> None:
    image = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "q"},
                                     {"type": "image", "source": image}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "é"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "done"},
            {"type": "tool_result", "tool_use_id": "t2"},
            {"type": "text", "text": "and?"},
        ]},
        {"role": "system", "content": "rule"},
    ]  # fmt: skip
    found = parsed(messages=messages, system="S")["messages"]
    assert [m["role"] for m in found] == [
        "system", "user", "assistant", "tool", "tool", "user", "system",
    ]  # fmt: skip
    assert found[1]["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="
    assert found[2]["content"] is None
    (call,) = found[2]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"a":"é"}'}
    assert found[3]["tool_call_id"] == "t1"
    assert found[4]["content"] == ""


def test_settings() -> None:
    tool = {"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True}
    found = parsed(
        tools=[tool],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        metadata={"user_id": "u"},
    )
    assert found["tools"][0]["function"] == {
        "name": "f", "description": "d", "parameters": SCHEMA, "strict": True,
    }  # fmt: skip
    assert (found["tool_choice"], found["parallel_tool_calls"]) == ("required", False)
    assert found["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (found["reasoning_effort"], found["user"]) == ("low", "u")


def test_tool_choices() -> None:
    tools = [{"name": "f", "input_schema": SCHEMA}]
    named = parsed(tools=tools, tool_choice={"type": "tool", "name": "f"})["tool_choice"]
    assert named == {"type": "function", "function": {"name": "f"}}
    assert parsed(tools=tools, tool_choice={"type": "none"})["tool_choice"] == "none"
    assert parsed(tools=tools, tool_choice={"type": "auto"})["tool_choice"] == "auto"


def test_documents() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    plain = {"type": "text", "media_type": "text/plain", "data": "words"}
    url = {"type": "url", "url": "https://x.test/a.pdf"}
    content = [{"type": "document", "source": s} for s in (pdf, plain, url)]
    (message,) = parsed(messages=[{"role": "user", "content": content}])["messages"]
    first, second, third = message["content"]
    assert first["file"]["file_data"] == "data:application/pdf;base64,JVBE"
    assert second == {"type": "text", "text": "words"}
    assert third["file"]["file_url"] == "https://x.test/a.pdf"
