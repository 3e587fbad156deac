"""Breakpoints in requests that may share their beginning."""

from dataclasses import dataclass

from serving.batches import BatchBackend, PreparedLine
from serving.costs.estimate import estimate_tokens
from serving.wire.chat import ChatRequest, ContentPart, Message

CONTROL = {"type": "ephemeral", "ttl": "1h"}
"""An hour, since a batch is worked off at the provider's own pace."""
_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Marked:
    """A prepared line with its breakpoint, which is `size` bytes at `at` of its data; without them
    it is the line without the breakpoint. `size` 0: it has none. `tokens`: an estimate of those
    before it.
    """

    line: PreparedLine
    tokens: int = 0
    at: int = 0
    size: int = 0


def prepared(backend: BatchBackend, custom_id: str, request: ChatRequest, *, mark: bool) -> Marked:
    """As `BatchBackend.prepare`, and raises what that raises."""
    if mark and (pair := _pair(request)) is not None:
        plain, marked = (backend.prepare(custom_id, one) for one in pair)
        at, size = _difference(plain.data, marked.data)
        if size:
            return Marked(marked, _tokens(request), at, size)
    return Marked(backend.prepare(custom_id, request))


def without_mark(data: bytes, at: int, size: int) -> bytes:
    return data[:at] + data[at + size :]


def _pair(request: ChatRequest) -> tuple[ChatRequest, ChatRequest] | None:
    """The request with the end of its leading system messages as a part of its own kind, without
    and with a breakpoint; None where there is no such end, or the client has breakpoints itself.
    """
    last = _last_system(request)
    if last is None or "cache_control" in request.model_dump_json():
        return None
    message = request.messages[last]
    parts = message.content
    if isinstance(parts, str):
        parts = [ContentPart(type="text", text=parts)] if parts else []
    if not parts or parts[-1].type != "text" or not parts[-1].text:
        return None
    end = parts[-1].model_copy(update={"cache_control": CONTROL})
    plain, marked = list(parts), [*parts[:-1], end]
    return _with(request, last, message, plain), _with(request, last, message, marked)


def _last_system(request: ChatRequest) -> int | None:
    last = None
    for i, message in enumerate(request.messages):
        if message.role not in _SYSTEM:
            break
        last = i
    return last


def _with(request: ChatRequest, at: int, message: Message, parts: list[ContentPart]) -> ChatRequest:
    changed = message.model_copy(update={"content": parts})
    messages = [*request.messages[:at], changed, *request.messages[at + 1 :]]
    return request.model_copy(update={"messages": messages})


def _difference(plain: bytes, marked: bytes) -> tuple[int, int]:
    """Where and how much `marked` has more; nothing where it differs in another way, too."""
    size = len(marked) - len(plain)
    if size <= 0:
        return 0, 0
    low, high = 0, len(plain)
    while low < high:  # the length of the common beginning
        middle = (low + high + 1) // 2
        low, high = (middle, high) if plain[:middle] == marked[:middle] else (low, middle - 1)
    return (low, size) if without_mark(marked, low, size) == plain else (0, 0)


def _tokens(request: ChatRequest) -> int:
    last = _last_system(request)
    assert last is not None, "there is something to mark"
    text = sum(estimate_tokens(message.text) for message in request.messages[: last + 1])
    tools = (tool.model_dump_json(exclude_unset=True) for tool in request.tools or ())
    return text + sum(estimate_tokens(tool) for tool in tools)
