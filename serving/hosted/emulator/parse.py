"""A request to Anthropic's API as the chat request that the backend behind a model answers."""

import json
from typing import Any

from serving.hosted.emulator.wire import (
    ChoiceAny,
    ChoiceNone,
    ChoiceTool,
    DocumentBlock,
    ImageBlock,
    MessageParam,
    MessagesRequest,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from serving.wire.chat import ChatRequest


def to_chat(request: MessagesRequest, max_tokens: int) -> ChatRequest:
    """`max_tokens` is what is left for the answer. Stop sequences stay with the emulator, which
    must know which of them ended the answer; thinking blocks are not shown to the backend.
    """
    messages: list[dict[str, Any]] = []
    if request.system:
        parts = [_part(b) for b in request.system]
        messages.append({"role": "system", "content": parts})
    for message in request.messages:
        messages += _messages(message)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "max_completion_tokens": max_tokens,
        "stream": True,
    }
    if request.tools:
        body["tools"] = [_tool(t.model_dump(exclude_none=True)) for t in request.tools]
    body |= _choice(request) | _format(request)
    if request.effort is not None:
        body["reasoning_effort"] = request.effort
    if request.metadata is not None and request.metadata.user_id is not None:
        body["user"] = request.metadata.user_id
    return ChatRequest.model_validate(body)


def _messages(message: MessageParam) -> list[dict[str, Any]]:
    if message.role == "assistant":
        return [_assistant(message)]
    made: list[dict[str, Any]] = []
    for block in message.content:
        if isinstance(block, ToolResultBlock):
            parts = [_part(p) for p in block.content]
            content: Any = parts or ""
            made.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": content})
    parts = [_part(b) for b in message.content if not isinstance(b, ToolResultBlock)]
    if parts:
        made.append({"role": message.role, "content": parts})
    return made


def _assistant(message: MessageParam) -> dict[str, Any]:
    texts = [_part(b) for b in message.content if isinstance(b, TextBlock)]
    calls = [_call(b) for b in message.content if isinstance(b, ToolUseBlock)]
    made: dict[str, Any] = {"role": "assistant", "content": texts or None}
    return made | ({"tool_calls": calls} if calls else {})


def _call(block: ToolUseBlock) -> dict[str, Any]:
    arguments = json.dumps(block.input, ensure_ascii=False, separators=(",", ":"))
    function = {"name": block.name, "arguments": arguments}
    return {"id": block.id, "type": "function", "function": function}


def _part(block: Any) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ImageBlock):
        source = block.source
        url = (
            source.url if source.type == "url" else f"data:{source.media_type};base64,{source.data}"
        )
        return {"type": "image_url", "image_url": {"url": url}}
    assert isinstance(block, DocumentBlock)
    document = block.source
    if document.type == "text":
        return {"type": "text", "text": document.data}
    if document.type == "url":
        return {"type": "file", "file": {"file_url": document.url}}
    data = f"data:{document.media_type};base64,{document.data}"
    return {"type": "file", "file": {"file_data": data}}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    for key in ("description", "strict"):
        if key in tool:
            function[key] = tool[key]
    return {"type": "function", "function": function}


def _choice(request: MessagesRequest) -> dict[str, Any]:
    choice = request.tool_choice
    if choice is None:
        return {}
    if isinstance(choice, ChoiceNone):
        return {"tool_choice": "none"}
    wanted: Any = "auto"
    if isinstance(choice, ChoiceAny):
        wanted = "required"
    elif isinstance(choice, ChoiceTool):
        wanted = {"type": "function", "function": {"name": choice.name}}
    return {
        "tool_choice": wanted,
        "parallel_tool_calls": not choice.disable_parallel_tool_use,
    }


def _format(request: MessagesRequest) -> dict[str, Any]:
    found = request.output_config.format
    if found is None:
        return {}
    schema = {"name": "answer", "schema": found.json_schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
