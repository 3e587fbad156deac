"""Finds bytes inside a would-be prefix that change from request to request, and so keep it from
being read: by comparing the requests of one feature, and by pattern.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from cachetools import LRUCache

from cache.prompt.blocks import PromptChain
from cache.prompt.canonical import ToolForm
from cache.prompt.evidence import NEEDED, Kind, SpanHistory, Template, Volatile
from cache.prompt.pieces import Piece
from cache.prompt.sent import Earlier
from cache.prompt.volatile import MOST_BYTES, Masked, first_difference, mask, one_word, punched

KEPT_BYTES = 24_000_000
PER_TEXT, COPIES = 2_000, 3
"""A text is kept as it is, in bytes, and with holes."""

KEPT_LISTS = 1_000
VISIBLE = (0, *range(33, 127))
MOST_REWRITTEN = 8
"""Blocks of one conversation that are compared letter by letter."""


@dataclass(frozen=True, slots=True)
class Found:
    """An invalidator in this request: `length` characters from `offset` of the text at `path`, in
    the block `index`. They changed in `changes` of the last `seen` requests, and `now` says whether
    in this one. `repaired`: the request leaves in one order, so nothing is lost.
    """

    kind: Kind
    path: str
    offset: int
    length: int
    index: int
    changes: int
    seen: int
    now: bool = True
    repaired: bool = False


@dataclass(slots=True)
class _Place:
    """What stood in one place the last time."""

    digest: Hashable
    template: Template
    size: int


@dataclass(frozen=True, slots=True)
class _ToolList:
    """The tools of the latest request, as they came, and the templates of their texts."""

    signature: Hashable
    templates: list[Template]


@dataclass(slots=True)
class _Order:
    """Something whose parts may come in any order: the latest one."""

    latest: Hashable
    seen: int = 1
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Looked:
    """One request as the watch sees it. `tools` are in the order in which they leave."""

    tenant: str
    feature: str
    chain: PromptChain
    tools: Sequence[ToolForm] = ()
    earlier: Earlier = field(default_factory=Earlier)


class Watch:
    """Remembers texts of the latest requests of each feature, in memory only and up to a bound."""

    def __init__(self) -> None:
        self._places: LRUCache[Hashable, _Place] = LRUCache(KEPT_BYTES, getsizeof=lambda p: p.size)
        self._templates: LRUCache[Hashable, Template] = LRUCache(
            KEPT_BYTES, getsizeof=lambda t: PER_TEXT + COPIES * len(t.last.data)
        )
        self._tool_lists: LRUCache[Hashable, _ToolList] = LRUCache(KEPT_LISTS)
        self._orders: LRUCache[Hashable, _Order] = LRUCache(KEPT_LISTS)
        self._history: LRUCache[Hashable, SpanHistory] = LRUCache(KEPT_LISTS)

    def look(self, at: Looked) -> list[Found]:
        """The invalidators of this request that are certain by now, in the order of the prompt.
        What changes wholly (another user's prompt, another document) is none.
        """
        found = self._tools(at)
        for index, piece in _shared_texts(at.chain):
            place = (at.tenant, at.feature, piece.path)
            found += self._text(place, piece.path, piece.text, at.chain.digests[index], index)
        return found + self._rewritten(at)

    def _tools(self, at: Looked) -> list[Found]:
        forms = sorted(at.tools, key=lambda form: form.index)
        key = (at.tenant, at.feature)
        signature = tuple((form.name, form.description, form.raw) for form in forms)
        last = self._tool_lists.get(key)
        if last is not None and last.signature == signature:
            for template in last.templates:
                template.again()
            return []
        found = self._tool_order(at, tuple(form.name for form in forms))
        where = {form.name: i for i, form in enumerate(at.tools)}
        templates: list[Template] = []
        for form in forms:
            path, index = f"tools[{form.index}].function", where[form.name]
            found += self._schema_order(at, form, f"{path}.parameters", index)
            for name, text in (
                ("description", form.description),
                ("parameters", form.stable.decode("utf-8", "replace")),
            ):
                place = (*key, f"tools.{form.name}.{name}")
                found += self._text(place, f"{path}.{name}", text, text, index)
                templates += [p.template] if (p := self._places.get(place)) else []
        self._tool_lists[key] = _ToolList(signature, templates)
        return found

    def _tool_order(self, at: Looked, names: tuple[str, ...]) -> list[Found]:
        old, order = self._ordered((at.tenant, at.feature, "order", frozenset(names)), names)
        if order is None or not isinstance(old, tuple):
            return []
        first = next((i for i, n in enumerate(names) if n != old[i]), 0)
        return [_order_found(order, "reordered_tools", f"tools[{first}]", first, start=0, end=0)]

    def _schema_order(self, at: Looked, form: ToolForm, path: str, index: int) -> list[Found]:
        key = (at.tenant, at.feature, "schema", form.name, form.stable)
        old, order = self._ordered(key, form.raw)
        if order is None or not isinstance(old, bytes):
            return []
        start = first_difference(old, form.raw)
        end = len(form.raw)
        return [_order_found(order, "unsorted_json", path, index, start=start, end=end)]

    def _ordered(self, key: Hashable, now: Hashable) -> tuple[Hashable, _Order | None]:
        """What stood there the last time, and the order where it is known to change and did."""
        order = self._orders.get(key)
        if order is None:
            self._orders[key] = _Order(now)
            return now, None
        order.seen += 1
        old, order.latest = order.latest, now
        order.changes += old != now
        return old, order if old != now and order.changes >= NEEDED["reordered_tools"] else None

    def _text(
        self, place: Hashable, path: str, text: str, digest: Hashable, index: int
    ) -> list[Found]:
        """One text that all requests of the feature may share."""
        if len(text) > MOST_BYTES:
            return []
        last = self._places.get(place)
        same = last is not None and last.digest == digest
        if last is not None and same:
            last.template.again()
            template, old = last.template, last.template.last
        else:
            old, template = self._changed(place, text, last)
            self._places[place] = _Place(digest, template, PER_TEXT + COPIES * len(text))
        found = template.volatile()
        if (order := template.reordered(old)) is not None:
            found.append(order)
        return [_text_found(v, template.last, path, index, now=not same) for v in found]

    def _changed(self, place: Hashable, text: str, last: _Place | None) -> tuple[Masked, Template]:
        """The template of a text that is not the latest one, and the text it had before."""
        masked = mask(text)
        template = self._templates.get((place, _bag(masked.rest)))
        if template is None and last is not None:
            words = one_word(last.template.last.data, masked.data)
            if words is not None:
                before, masked = punched(last.template.last, *words[0]), punched(masked, *words[1])
                template = self._templates.get((place, _bag(masked.rest))) or Template(before)
        if template is None:
            template = Template(masked)
            old = masked
        else:
            old = template.last
            template.see(masked)
        self._templates[place, _bag(masked.rest)] = template
        return old, template

    def _rewritten(self, at: Looked) -> list[Found]:
        """Blocks of the conversation that are not what they were a turn ago."""
        if at.earlier.conversation is None:
            return []
        old, new = at.earlier.conversation.chain, at.chain
        turns = at.earlier.turn - new.shared
        if turns != len(old.digests) - 1 - old.shared:
            return []  # turns were left out, so no block stands where it stood
        places = ((old.shared + i, new.shared + i) for i in range(turns))
        changed = ((i, k) for i, k in places if old.digests[i] != new.digests[k])
        found: list[Found] = []
        for i, k in islice(changed, MOST_REWRITTEN):
            if len(new.pieces[k].text) <= MOST_BYTES:
                found += self._changed_since(at, old.pieces[i].text, k)
        return found

    def _changed_since(self, at: Looked, text: str, index: int) -> list[Found]:
        piece = at.chain.pieces[index]
        was, now = mask(text), mask(piece.text)
        if was.rest != now.rest:
            return []
        found: list[Found] = []
        pairs = enumerate(zip(was.spans, now.spans, strict=True))
        for k, before, after in [(k, a, b) for k, (a, b) in pairs if a.value != b.value]:
            key = (at.tenant, at.feature, piece.path, k)
            history = self._history.get(key)
            if history is None:
                history = self._history[key] = SpanHistory(before.value)
            history.last = before.value
            history.see(after)
            if (kind := history.kind(history.changes)) is not None:
                what = Volatile(kind, after.start, after.end, history.changes, history.changes)
                found.append(_text_found(what, now, piece.path, index))
        return found


def _shared_texts(chain: PromptChain) -> list[tuple[int, Piece]]:
    """Texts that requests of one feature may share: the system prompt, and what a user's first
    turn opens with (documents, examples), its last part excepted.
    """
    found = [(i, p) for i, p in enumerate(chain.pieces[: chain.shared]) if p.layer == "system"]
    opening: list[tuple[int, Piece]] = []
    for i in range(chain.shared, len(chain.pieces)):
        if chain.pieces[i].tag != "user":
            break
        opening.append((i, chain.pieces[i]))
    return found + [(i, p) for i, p in opening[:-1] if p.kind == "text"]


def _bag(rest: bytes) -> tuple[int, ...]:
    """How often each visible character and each hole stands there: the same for all orders of the
    parts, and for all ways to set them apart.
    """
    return tuple(rest.count(c) for c in VISIBLE)


def _text_found(
    what: Volatile, masked: Masked, path: str, index: int, *, now: bool = True
) -> Found:
    start, end = masked.chars(what.start), masked.chars(what.end)
    return Found(what.kind, path, start, end - start, index, what.changes, what.seen, now)


def _order_found(
    order: _Order, kind: Kind, path: str, index: int, *, start: int, end: int
) -> Found:
    changes, seen = order.changes, order.seen
    return Found(kind, path, start, end - start, index, changes, seen, repaired=True)
