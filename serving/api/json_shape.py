"""How much a JSON text would cost to parse, found without parsing it.

A few passes at the speed of C over bytes: escapes are cut out, everything but structure is deleted,
strings collapse, and what is left is counted. A text that is not JSON is never found cheaper than
what a parser would build before it stops at the fault: up to there both read the same strings.
"""

from dataclasses import dataclass
from itertools import accumulate

NOT_STRUCTURE = bytes(c for c in range(256) if c not in b'"[]{},:')
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # +1 and -1 as signed bytes


@dataclass(frozen=True, slots=True)
class JsonShape:
    """`nodes` is 1 + commas + opening brackets outside strings: never fewer than the values in the
    text and at most twice as many. `depth` is the deepest nesting, 0 for a bare scalar. `members`
    is the number of colons outside strings, so of keys in all objects together. `depth` and
    `members` are 0 where `nodes` exceeds the bound, which is then all that is known.
    """

    nodes: int
    depth: int = 0
    members: int = 0


def json_shape(text: bytes, max_nodes: int) -> JsonShape:
    """Linear in `text`; memory is a few copies of it and a few hundred bytes per allowed node."""
    if b"\\" in text:
        # Pairs first: in a run of backslashes only an odd one at the end escapes what follows.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    strings = text.count(b'"') // 2
    if strings > 2 * max_nodes:  # each value has one key at most
        return JsonShape(nodes=strings // 2)
    # Most strings hold no structure and are `""` by now. Where JSON is valid, a string's end is
    # followed by structure, so such a pair is never the end of one string and the start of another.
    text = text.translate(None, NOT_STRUCTURE).replace(b'""', b"")
    if b'"' in text:
        text = b"".join(text.split(b'"')[::2])
    nodes = 1 + text.count(b",") + text.count(b"[") + text.count(b"{")
    if nodes > max_nodes:
        return JsonShape(nodes)
    brackets = text.translate(STEPS, b",:")
    depth = max(accumulate(memoryview(brackets).cast("b")), default=0)
    return JsonShape(nodes, max(depth, 0), text.count(b":"))


def count_members(value: object) -> int:
    """The keys of all objects in a parsed text. Fewer than `JsonShape.members` where a key stands
    twice in one object.
    """
    found = 0
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            found += len(node)
            stack += [v for v in node.values() if isinstance(v, dict | list)]
        elif isinstance(node, list):
            stack += [v for v in node if isinstance(v, dict | list)]
    return found
