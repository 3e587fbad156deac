"""Moves what changes in a system prompt behind the rest of it, so that the rest can be stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from cache.prompt.blocks import PromptChain
from cache.prompt.invalidators import Found
from cache.prompt.pieces import NOWHERE
from serving.wire.chat import ChatRequest, ContentPart, Message

MOST_CHARS = 400
"""Of a line or sentence that is moved. A longer one may hang together with what stands around."""

MOVED = frozenset({"timestamp", "date", "uuid", "counter", "random_id"})
ENDS = ".!?"


@dataclass(frozen=True, slots=True)
class Moved:
    """`request` ends its system prompt with a text of what was moved. `paths` say from where."""

    request: ChatRequest
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Cut:
    start: int
    end: int


def moved(request: ChatRequest, chain: PromptChain, found: Sequence[Found]) -> Moved | None:
    """The lines of the system prompt that hold volatile bytes, whole and in their order, as a text
    of their own at its end; of a long line the sentence. None where nothing can be moved: nothing
    volatile there, no other text before the end, or too long a line. `chain` is the request's.
    """
    cuts: dict[int, list[_Cut]] = {}
    for f in found:
        piece = chain.pieces[f.index]
        if f.kind not in MOVED or piece.layer != "system" or piece.message == NOWHERE:
            continue
        cut = _around(piece.text, f.offset, f.offset + f.length)
        if cut is not None and cut not in cuts.setdefault(f.index, []):
            cuts[f.index].append(cut)
    system = [i for i in range(chain.shared) if chain.pieces[i].layer == "system"]
    kept = {i: _without(chain.pieces[i].text, cuts.get(i, [])) for i in system}
    if not cuts or not any(text.strip() for text in kept.values()):
        return None
    lines = [
        chain.pieces[i].text[c.start : c.end].strip()
        for i in sorted(cuts)
        for c in _sorted(cuts[i])
    ]
    messages = _rewritten(request.messages, chain, {i: kept[i] for i in cuts})
    last = max(chain.pieces[i].message for i in system)
    messages[last] = _appended(messages[last], "\n".join(lines))
    paths = tuple(chain.pieces[i].path for i in sorted(cuts))
    return Moved(request.model_copy(update={"messages": messages}), paths)


def _around(text: str, start: int, end: int) -> _Cut | None:
    """The line around these characters with its break, or of a long line the sentence."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end) + 1 or len(text)
    if last - first <= MOST_CHARS:
        return _Cut(first, last)
    breaks = [i + 2 for i in range(first, start - 1) if text[i] in ENDS and text[i + 1].isspace()]
    first = breaks[-1] if breaks else first
    ahead = (i + 2 for i in range(end - 1, last - 1) if text[i] in ENDS and text[i + 1].isspace())
    last = next(ahead, last)
    return _Cut(first, last) if last - first <= MOST_CHARS else None


def _sorted(cuts: Sequence[_Cut]) -> list[_Cut]:
    return sorted(cuts, key=lambda cut: cut.start)


def _without(text: str, cuts: Sequence[_Cut]) -> str:
    for cut in reversed(_sorted(cuts)):
        text = text[: cut.start] + text[cut.end :]
    return text


def _rewritten(
    messages: Sequence[Message], chain: PromptChain, texts: dict[int, str]
) -> list[Message]:
    made = list(messages)
    for index, text in texts.items():
        piece = chain.pieces[index]
        message = made[piece.message]
        if piece.part == NOWHERE:
            made[piece.message] = message.model_copy(update={"content": text})
            continue
        assert isinstance(message.content, list)
        parts = list(message.content)
        parts[piece.part] = parts[piece.part].model_copy(update={"text": text})
        made[piece.message] = message.model_copy(update={"content": parts})
    return made


def _appended(message: Message, text: str) -> Message:
    """With one more text part; empty ones before it are left out by the translation."""
    part = ContentPart(type="text", text=text)
    content = message.content
    parts = [ContentPart(type="text", text=content)] if isinstance(content, str) else content or []
    return message.model_copy(update={"content": [*parts, part]})
