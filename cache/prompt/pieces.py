"""A chat request as the row of blocks that Claude's cache sees: tools, system, messages, in the
order in which the translation (`serving/hosted/translate/`) sends them.

Nothing is translated here, so that a plan costs no second translation; a property test holds the
two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from cache.prompt.canonical import stable_text
from cache.prompt.chain import Ttl
from serving.hosted.translate.blocks import cache_control
from serving.hosted.translate.ids import ToolIds
from serving.hosted.translate.messages import OPENING, SYSTEM_ROLES
from serving.hosted.translate.replay import THINKING, own_blocks
from serving.hosted.translate.request import JSON_OBJECT
from serving.wire.chat import ChatRequest, ContentPart, Message, Tool

Layer = Literal["tools", "system", "messages"]
Kind = Literal["tool", "text", "image", "document", "thinking", "tool_use", "tool_result"]
NOWHERE = -1
RESULT_WITH_IMAGE = "result+image"


class Piece(NamedTuple):
    """One block. `path` says where it stands for a user: tools and messages by their index in the
    request, system texts by their own. `text` is what it says, `tag` what sets it apart beyond that
    (its layer, role and ids). A breakpoint on it is written on the tool, message or part that
    `tool`, `message` and `part` name, and nowhere where all are `NOWHERE`; `own` is the client's.
    A named tuple: a long prompt has hundreds, and they are made for every call.
    """

    layer: Layer
    kind: Kind
    path: str
    text: str
    tag: str
    tool: int = NOWHERE
    message: int = NOWHERE
    part: int = NOWHERE
    own: Ttl | None = None

    @property
    def markable(self) -> bool:
        return self.kind != "thinking" and (self.tool != NOWHERE or self.message != NOWHERE)


def pieces(
    request: ChatRequest, *, mid_system: bool, tool_order: Sequence[int] = ()
) -> list[Piece]:
    """`mid_system`: the model takes role `system` inside the conversation. `tool_order`: where each
    tool stood in the client's request, if not where it stands now. Lenient: a request that the
    translation refuses gives some row, and the translation says what is wrong with it.
    """
    messages = request.messages
    lead = next((i for i, m in enumerate(messages) if m.role not in SYSTEM_ROLES), len(messages))
    talk = _Talk(mid_system)
    for i in range(lead, len(messages)):
        talk.add(messages[i], i)
    turns = talk.finish()
    system = _lead(messages[:lead], "system" if turns else "messages")
    if not turns:
        system, turns = [], system
    if request.response_format is not None and request.response_format.type == "json_object":
        path = f"system[{len(system)}]"
        system.append(Piece("system", "text", path, JSON_OBJECT, "system"))
    if turns and turns[0].tag.startswith("assistant"):
        turns.insert(0, Piece("messages", "text", "messages[0]", OPENING, "user"))
    return [*_tools(request.tools, tool_order, talk.called), *system, *turns]


def _tools(tools: list[Tool] | None, order: Sequence[int], called: dict[str, None]) -> list[Piece]:
    if not tools:
        return [Piece("tools", "tool", f"tools[{i}]", n, "bare") for i, n in enumerate(called)]
    return [_tool(t, i, order[i] if order else i) for i, t in enumerate(tools)]


def _tool(tool: Tool, index: int, stood: int) -> Piece:
    function, own, path = tool.function, cache_control(tool), f"tools[{stood}]"
    if function is None:
        return Piece("tools", "tool", path, _json(tool.model_extra), tool.type, index)
    own = own or cache_control(function)
    text = _json([function.name, function.description, function.parameters, function.strict])
    return Piece("tools", "tool", path, text, "tool", index, own=_ttl(own))


def _lead(messages: list[Message], layer: Layer) -> list[Piece]:
    """The leading system messages; `layer` is `messages` where there is nothing else."""
    found: list[Piece] = []
    for i, message in enumerate(messages):
        for piece in _content(message, i, "system" if layer == "system" else "user"):
            found.append(piece._replace(layer=layer, path=f"system[{len(found)}]"))
    return found


@dataclass(slots=True)
class _Run:
    """What stands between two assistant turns."""

    results: list[Piece] = field(default_factory=list)
    parts: list[Piece] = field(default_factory=list)
    system: list[Piece] = field(default_factory=list)


class _Talk:
    """The messages behind the leading system ones."""

    def __init__(self, mid_system: bool) -> None:
        self._mid_system = mid_system
        self._pieces: list[Piece] = []
        self._run = _Run()
        self._ids = ToolIds()
        self._pending: set[str] = set()
        self._renamed: set[str] = set()
        self.called: dict[str, None] = {}

    def add(self, message: Message, index: int) -> None:
        if message.role == "assistant":
            self._assistant(message, index)
        elif message.role == "tool":
            self._pending.discard(message.tool_call_id or "")
            self._renamed.discard(message.tool_call_id or "")
            self._run.results.append(_result(message, index))
        elif message.role not in SYSTEM_ROLES:
            self._run.parts += _content(message, index, "user")
        elif self._mid_system:
            self._run.system += _content(message, index, "system")
        else:
            self._run.parts += _content(message, index, "framed")

    def finish(self) -> list[Piece]:
        self._close()
        return self._pieces

    def _assistant(self, message: Message, index: int) -> None:
        said = message.tool_calls or message.refusal or message.provider_content or self._pending
        content = _content(message, index, "assistant") if not said else None
        if content is not None and not content:
            return  # nothing was said; its neighbours join
        self._close()
        if not said and isinstance(message.content, str):
            self._pieces += content or ()
            return
        for call in message.tool_calls or ():
            self._pending.add(call.id)
            if self._ids.new(call.id) != call.id:
                self._renamed.add(call.id)
            if call.function is not None:
                self.called[call.function.name] = None
        blocks = None if self._renamed else own_blocks(message)
        made = _built(message, index, content) if blocks is None else _replayed(blocks, index)
        self._pieces += _ended(made, message, index)

    def _close(self) -> None:
        run, self._run = self._run, _Run()
        self._pieces += run.results
        self._pieces += run.parts
        self._pieces += run.system


def _content(message: Message, index: int, role: str) -> list[Piece]:
    """The content, each part where it can be marked; a text alone is marked by its message."""
    path = f"messages[{index}]"
    if isinstance(message.content, str):
        if not message.content.strip():
            return []
        own = _ttl(cache_control(message))
        return [Piece("messages", "text", path, message.content, role, NOWHERE, index, own=own)]
    found: list[Piece] = []
    for j, part in enumerate(message.content or ()):
        kind, text = _part(part)
        own = _ttl(cache_control(part))
        if kind == "text" and not text.strip():
            if own is not None and found and found[-1].own is None:
                found[-1] = found[-1]._replace(own=own)
            continue
        where = f"{path}.content[{j}]"
        found.append(Piece("messages", kind, where, text, role, NOWHERE, index, j, own))
    own = _ttl(cache_control(message))
    if own is not None and found and found[-1].own is None:
        found[-1] = found[-1]._replace(own=own)
    return found


def _part(part: ContentPart) -> tuple[Kind, str]:
    if part.text is not None:
        return "text", part.text
    extra = part.model_extra or {}
    if part.type == "image_url":
        image = extra.get("image_url")
        return "image", str(image.get("url") if isinstance(image, dict) else image)
    if part.type == "refusal":
        return "text", str(extra.get("refusal") or "")
    return "document", _json(extra.get(part.type))


def _result(message: Message, index: int) -> Piece:
    parts = _content(message, index, "tool")
    text = "\0".join([p.kind + p.text if p.kind != "text" else p.text for p in parts])
    failed = (message.model_extra or {}).get("is_error") is True
    word = RESULT_WITH_IMAGE if any(p.kind == "image" for p in parts) else "result"
    tag = f"{word} {message.tool_call_id} {failed}"
    own = next((p.own for p in reversed(parts) if p.own is not None), None)
    path = f"messages[{index}]"
    own = own or _ttl(cache_control(message))
    return Piece("messages", "tool_result", path, text, tag, NOWHERE, index, own=own)


def _built(message: Message, index: int, content: list[Piece] | None) -> list[Piece]:
    """An assistant turn from the message alone. Only parts of a list can be marked one by one."""
    made = _content(message, index, "assistant") if content is None else content
    alone = isinstance(message.content, str)
    made = [p._replace(message=NOWHERE, own=None) if alone else p for p in made]
    path = f"messages[{index}]"
    if message.refusal and message.refusal.strip():
        made.append(Piece("messages", "text", path, message.refusal, "assistant"))
    for i, call in enumerate(message.tool_calls or ()):
        name, text = (call.function.name, call.function.arguments) if call.function else ("", "")
        tag, where = f"assistant use {call.id} {name}", f"{path}.tool_calls[{i}]"
        made.append(Piece("messages", "tool_use", where, stable_text(text), tag))
    return made


def _replayed(blocks: list[dict[str, Any]], index: int) -> list[Piece]:
    """An assistant turn as Claude wrote it; marked by its message, so only at its end."""
    made: list[Piece] = []
    for i, block in enumerate(blocks):
        path, kind = f"messages[{index}].provider_content[{i}]", block["type"]
        if kind in THINKING:
            made.append(Piece("messages", "thinking", path, _json(block), "assistant thinking"))
        elif kind == "tool_use":
            tag = f"assistant use {block['id']} {block['name']}"
            made.append(Piece("messages", "tool_use", path, _json(block["input"]), tag))
        elif block["text"].strip():
            made.append(Piece("messages", "text", path, block["text"], "assistant"))
    return made


def _ended(made: list[Piece], message: Message, index: int) -> list[Piece]:
    """The last block that can carry a breakpoint gets the message's."""
    for i in range(len(made) - 1, -1, -1):
        if made[i].kind != "thinking":
            own = made[i].own or _ttl(cache_control(message))
            if made[i].part == NOWHERE:
                made[i] = made[i]._replace(message=index, own=own)
            else:
                made[i] = made[i]._replace(own=own)
            break
    return made


def _ttl(control: dict[str, Any] | None) -> Ttl | None:
    """The lifetime of a breakpoint, None where there is none."""
    if control is None:
        return None
    return "1h" if control.get("ttl") == "1h" else "5m"


def _json(value: object) -> str:
    """JSON text, for comparison only: what orjson cannot write is rare."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return repr(value)
