"""Requests that went out, to compare later ones with: of a feature the latest, of a conversation
its latest turn. Texts stay in memory only, up to `KEPT_BYTES`, and are found by their own tenant
only.
"""

from dataclasses import dataclass

from cachetools import LRUCache

from cache.prompt.blocks import PromptChain
from cache.prompt.volatile import MOST_BYTES, first_difference

KEPT_BYTES = 32_000_000
LARGEST = 4_000_000
PER_PIECE = 600


@dataclass(slots=True)
class Sent:
    """`deepest` is the block of the deepest breakpoint, -1 where it had none; `message_id` names
    the answer once there is one; `asked`: the API can compare a later request with it.
    """

    chain: PromptChain
    deepest: int = -1
    message_id: str | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first block that differs from the earlier request's, and where: `offset` characters into
    it. `alike`: most of the block is as it was.
    """

    index: int
    path: str
    offset: int
    alike: bool


@dataclass(frozen=True, slots=True)
class Earlier:
    """What came before a request: of its conversation, where that is known, and of its feature.
    `turn` is the block of this request with which the conversation's earlier one ended.
    """

    conversation: Sent | None = None
    turn: int = -1
    feature: Sent | None = None

    @property
    def nearest(self) -> Sent | None:
        return self.conversation or self.feature


class SentRequests:
    """The latest of each feature and conversation, least recently used ones forgotten first."""

    def __init__(self) -> None:
        self._sent: LRUCache[tuple[str | bytes, ...], Sent] = LRUCache(KEPT_BYTES, getsizeof=_size)

    def earlier(self, tenant: str, feature: str, chain: PromptChain) -> Earlier:
        """A conversation is known by its latest turns: the two last blocks of an earlier request
        stand in every later one, whatever has become of those before them.
        """
        latest = self._sent.get((tenant, feature))
        for i in range(len(chain.digests) - 1, chain.shared - 1, -1):
            found = self._sent.get(_turn(chain, i))
            if found is not None:
                return Earlier(found, i, latest)
        return Earlier(feature=latest)

    def keep(self, tenant: str, feature: str, sent: Sent) -> None:
        if _size(sent) > LARGEST:
            return
        self._sent[tenant, feature] = sent
        if len(sent.chain.digests) > sent.chain.shared:
            self._sent[_turn(sent.chain, len(sent.chain.digests) - 1)] = sent


def divergence(old: PromptChain, new: PromptChain) -> Divergence | None:
    """Where `new` leaves `old`; None where one begins with the other."""
    for i, (a, b) in enumerate(zip(old.digests, new.digests, strict=False)):
        if a != b:
            return _differing(i, old.pieces[i].text, new)
    return None


def _differing(index: int, old: str, new: PromptChain) -> Divergence:
    text = new.pieces[index].text
    start, size = first_difference(old, text), max(len(old), len(text))
    alike = 2 * start >= size
    if not alike and size <= MOST_BYTES:  # what is longer is a picture or a file
        tail = first_difference(old[start:][::-1], text[start:][::-1])
        alike = 2 * (start + tail) >= size
    return Divergence(index, new.pieces[index].path, start, alike)


def _turn(chain: PromptChain, index: int) -> tuple[bytes, ...]:
    before = chain.digests[index - 1] if index > chain.shared else b""
    return before, chain.digests[index]


def _size(sent: Sent) -> int:
    return sum(PER_PIECE + len(p.text) for p in sent.chain.pieces)
