"""A response's request as the chat that it is."""

from collections.abc import Iterable, Sequence
from typing import Any

from serving.wire.responses.items import Item, Part
from serving.wire.responses.request import NamedChoice, ResponseRequest

SAME = (
    *("parallel_tool_calls", "temperature", "top_p", "metadata", "user", "service_tier"),
    *("stream", "stepwell"),
)
"""Parameters that a chat has under the same name and in the same form."""


def as_chat(asked: ResponseRequest, history: Sequence[Item] = ()) -> dict[str, Any]:
    """The chat's body, not yet checked as such. `history`: the items of the responses before."""
    given = asked.input
    own = [Item(role="user", content=given)] if isinstance(given, str) else given or []
    system = [] if not asked.instructions else [_plain("system", asked.instructions)]
    body: dict[str, Any] = {
        **(asked.model_extra or {}),
        "model": asked.model,
        "messages": system + messages([*history, *own]),
    }
    for name in SAME:
        if (value := getattr(asked, name)) is not None:
            body[name] = value
    if asked.max_output_tokens is not None:
        body["max_completion_tokens"] = asked.max_output_tokens
    if asked.reasoning is not None and asked.reasoning.effort is not None:
        body["reasoning_effort"] = asked.reasoning.effort
    if (most := asked.logprobs_asked) is not None:
        body |= {"logprobs": True, "top_logprobs": most}
    return body | _tools(asked) | _text(asked)


def _tools(asked: ResponseRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if asked.tools:
        found["tools"] = []
        for tool in asked.tools:
            function = tool.model_dump(exclude_none=True, exclude={"type"})
            found["tools"].append({"type": "function", "function": function})
    choice = asked.tool_choice
    if isinstance(choice, NamedChoice):
        found["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        found["tool_choice"] = choice
    return found


def _text(asked: ResponseRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if asked.text is None:
        return found
    if asked.text.verbosity is not None:
        found["verbosity"] = asked.text.verbosity
    wanted = asked.text.format
    if wanted is not None:
        found["response_format"] = {"type": wanted.type}
    if wanted is not None and wanted.type == "json_schema":
        schema = wanted.model_dump(exclude_none=True, exclude={"type"}, by_alias=True)
        found["response_format"]["json_schema"] = schema
    return found


def messages(items: Iterable[Item]) -> list[dict[str, Any]]:
    """Thoughts, a text and function calls that follow each other are one turn of the model."""
    turns = _Turns()
    for item in items:
        match item.type:
            case "message" if item.role == "assistant":
                turns.said(item)
            case "function_call":
                turns.called(item)
            case "function_call_output":
                turns.end()
                output = item.output if isinstance(item.output, str) else _parts(item.output or [])
                result = {"role": "tool", "tool_call_id": item.call_id, "content": output}
                turns.done.append(result)
            case "message":
                turns.end()
                content = item.content
                whole = content if isinstance(content, str) else _parts(content or [])
                turns.done.append({"role": item.role, "content": whole})
            case _:
                turns.end()
        if item.provider_content is not None:
            turns.carry(item.provider_content)
    turns.end()
    return turns.done


class _Turns:
    """`done`: the messages so far, without the turn of the model that is still open."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None

    def said(self, item: Item) -> None:
        self.end()
        self._open = _assistant(item)

    def called(self, item: Item) -> None:
        if self._open is None:
            self._open = {"role": "assistant", "content": None}
        function = {"name": item.name, "arguments": item.arguments}
        call = {"id": item.call_id, "type": "function", "function": function}
        self._open.setdefault("tool_calls", []).append(call)

    def carry(self, blocks: dict[str, Any]) -> None:
        """Stands on the last item of a turn, so the turn ends with it."""
        if self._open is not None:
            self._open["provider_content"] = blocks
        self.end()

    def end(self) -> None:
        if self._open is not None:
            self.done.append(self._open)
        self._open = None


def _assistant(item: Item) -> dict[str, Any]:
    if isinstance(item.content, str):
        return _plain("assistant", item.content)
    parts = item.content or []
    refusal = "".join(p.refusal or "" for p in parts if p.type == "refusal")
    texts = [p.text or "" for p in parts if p.type != "refusal"]
    text = texts[0] if len(texts) == 1 else [{"type": "text", "text": t} for t in texts] or None
    return {"role": "assistant", "content": text} | ({"refusal": refusal} if refusal else {})


def _plain(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _parts(parts: Sequence[Part]) -> list[dict[str, Any]]:
    return [_unknown(part) | _part(part) for part in parts]


def _unknown(part: Part) -> dict[str, Any]:
    return {name: value for name, value in (part.model_extra or {}).items() if value is not None}


def _part(part: Part) -> dict[str, Any]:
    match part.type:
        case "input_image":
            image = {"url": part.image_url}
            if part.detail is not None:
                image["detail"] = part.detail
            return {"type": "image_url", "image_url": image}
        case "input_file":
            file = {"file_data": part.file_data}
            if part.filename is not None:
                file["filename"] = part.filename
            return {"type": "file", "file": file}
        case "refusal":
            return {"type": "refusal", "refusal": part.refusal}
    return {"type": "text", "text": part.text}
