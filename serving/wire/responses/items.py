"""The items of a response's input: messages, function calls, their outputs, thoughts."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from serving.wire.chat import Open

ROLES = ("user", "assistant", "system", "developer")
PARTS = ("input_text", "input_image", "input_file", "output_text", "refusal")
PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}
"""The types of items that are served, and how their ids begin."""


class Part(Open):
    """A part of a message or of a function's output. Unknown fields reach the tiers."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    filename: str | None = None

    @model_validator(mode="after")
    def _served(self) -> "Part":
        if self.type not in PARTS:
            raise ValueError(f"parts of this type are not supported; known: {', '.join(PARTS)}")
        needed = {"input_image": "image_url", "input_file": "file_data", "refusal": "refusal"}
        field = needed.get(self.type, "text")
        if getattr(self, field) is None:
            raise ValueError(f"a part of type '{self.type}' needs '{field}'{_instead(self)}")
        extra = self.model_extra or {}
        if extra.get("prompt_cache_breakpoint") is not None:
            raise ValueError("prompt_cache_breakpoint is not supported; Stepwell plans its own")
        return self


def _instead(part: Part) -> str:
    extra = part.model_extra or {}
    sent = [name for name in ("file_id", "file_url") if extra.get(name) is not None]
    return f"; {sent[0]} is not supported" if sent else ""


Parts = Annotated[list[Part], Field(fail_fast=True)]


class Item(Open):
    """One item. Which of the fields there are depends on its type; `role` alone makes a message.
    `provider_content`: see `docs/api.md`; Stepwell puts it on the last item of an answer.
    """

    type: str = "message"
    id: str | None = None
    role: str | None = None
    content: str | Parts | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | Parts | None = None
    encrypted_content: str | None = None
    provider_content: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _thoughts(cls, value: Any) -> Any:
        """What a reasoning item says is for people: its parts are of no concern here."""
        if isinstance(value, dict) and value.get("type") == "reasoning":
            return {k: v for k, v in value.items() if k not in ("content", "summary", "status")}
        return value

    @model_validator(mode="after")
    def _whole(self) -> "Item":
        if self.type not in PREFIXES:
            known = ", ".join(PREFIXES)
            raise ValueError(f"items of this type are not supported; known: {known}")
        if self.encrypted_content is not None:
            raise ValueError("encrypted_content is not supported: only OpenAI can read it")
        if self.type == "message" and self.role not in ROLES:
            raise ValueError(f"a message needs a role: {', '.join(ROLES)}")
        for name in NEEDED[self.type]:
            if getattr(self, name) is None:
                raise ValueError(f"an item of type '{self.type}' needs '{name}'")
        return self


NEEDED = {
    "message": ("content",),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": (),
}


def stored(items: str | list[Item] | None, answer_id: str) -> list[dict[str, Any]]:
    """The items as they are kept and listed: each with an id, texts of messages as parts."""
    given = [Item(role="user", content=items)] if isinstance(items, str) else items or []
    return [_stored(item, f"{answer_id}{n:04x}") for n, item in enumerate(given)]


def _stored(item: Item, number: str) -> dict[str, Any]:
    wire = item.model_dump(mode="json", exclude_unset=True)
    wire["type"] = item.type
    wire["id"] = item.id or f"{PREFIXES[item.type]}_{number}"
    if item.type == "reasoning":
        return {"summary": [], **wire}
    wire["status"] = "completed"
    if isinstance(item.content, str):
        kind = "output_text" if item.role == "assistant" else "input_text"
        part = {"type": kind, "text": item.content}
        wire["content"] = [part | ({"annotations": []} if kind == "output_text" else {})]
    for part in wire["content"] if item.type == "message" else ():
        if part["type"] == "input_image":
            part.setdefault("detail", "auto")
    return wire
