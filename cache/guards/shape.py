"""How two texts are built alike, whatever they are about. Pure."""

from dataclasses import dataclass

from rapidfuzz.distance import Indel

from cache.guards.reading import Reading

CONTENT = 0.5
"""Words of this weight and more are content, others hold it together."""

MAX_PAIRS = 1_000
_ANYTHING = "_"


@dataclass(frozen=True, slots=True)
class Shape:
    """For two texts that read the same, `mould` and `content` are 1 and the rest 0."""

    mould: float
    """How alike they are when any content may stand for any other: two fillings of one sentence
    have 1.
    """
    content: float
    """How much of the content is the same in the same order."""
    turned: float
    """Beyond what they share of the content, how much of it is in another order."""
    loose_less: float
    """Content words without their like in the other text, on the side that has fewer of them."""
    loose_more: float
    near: float
    """How alike the most alike two of them are spelled: 0 for no letter in common."""


def shape(a: Reading, b: Reading) -> Shape:
    """Symmetric."""
    content_a, content_b = _content(a), _content(b)
    bag_a, bag_b = set(content_a), set(content_b)
    loose_a, loose_b = bag_a - bag_b, bag_b - bag_a
    less, more = sorted((len(loose_a), len(loose_b)))
    ordered = Indel.normalized_similarity(content_a, content_b)
    both = len(bag_a) + len(bag_b)
    bag = 2 * len(bag_a & bag_b) / both if both else 1.0
    return Shape(
        mould=Indel.normalized_similarity(_moulded(a), _moulded(b)),
        content=ordered,
        turned=max(0.0, bag - ordered),
        loose_less=float(less),
        loose_more=float(more),
        near=_near(loose_a, loose_b),
    )


def _content(of: Reading) -> list[str]:
    return [token.concept for token in of.tokens if token.weight >= CONTENT]


def _moulded(of: Reading) -> list[str]:
    return [token.concept if token.weight < CONTENT else _ANYTHING for token in of.tokens]


def _near(loose_a: set[str], loose_b: set[str]) -> float:
    if len(loose_a) * len(loose_b) > MAX_PAIRS:
        return 0.0
    words_a = [word for word in loose_a if word[0].isalpha()]
    words_b = [word for word in loose_b if word[0].isalpha()]
    return max((Indel.normalized_similarity(x, y) for x in words_a for y in words_b), default=0.0)
