"""What the decision reads of two texts and their cosine: a row of numbers. Pure.

Beside what the guards find there are a few sums of it. One certain difference is seldom alone; and
a difference says more the more alike the texts are otherwise: one number that differs decides
between two orders, and little between two long complaints.
"""

from cache.guards.compare import NAMES as DIFFERENCES_AND_LIKENESS
from cache.guards.compare import compare
from cache.guards.reading import Reading
from cache.guards.shape import shape

COSINE = "cosine"
LIKENESS = ("shared", "frame", "mould", "content", "near")
DIFFERENCES = (
    *(name for name in DIFFERENCES_AND_LIKENESS if name not in LIKENESS),
    "turned",
    "loose_less",
    "loose_more",
)
SUMS = (
    "certain",
    "possible",
    "all",
    "possible_framed",
    "all_framed",
    "all_moulded",
    "other_framed",
)
FEATURES = (COSINE, *LIKENESS, *DIFFERENCES, *SUMS)

CERTAIN = ("numbers", "kinds", "opposites", "codes", "names", "tense")
POSSIBLE = (
    "negation",
    "reversal",
    "asks",
    "ways",
    "roles",
    "only_number",
    "only_name",
    "only_code",
)
MOST_CERTAIN = 3.0
SIGNS = {COSINE: 1, **dict.fromkeys((*DIFFERENCES, *SUMS), -1)}
"""Which way a feature may move the decision: the cosine up, a difference down, others both."""


def features(cosine: float, a: Reading, b: Reading) -> list[float]:
    """In the order of `FEATURES`. Symmetric."""
    found, built = compare(a, b), shape(a, b)
    certain = min(MOST_CERTAIN, sum(getattr(found, name) for name in CERTAIN))
    possible = sum(getattr(found, name) for name in POSSIBLE)
    framed, moulded = _part(found.frame, 0.4, 0.8), _part(built.mould, 0.4, 0.9)
    each = certain + possible
    return [
        cosine,
        found.shared,
        found.frame,
        built.mould,
        built.content,
        built.near,
        *(getattr(found, name) for name in DIFFERENCES[:-3]),
        built.turned,
        built.loose_less,
        built.loose_more,
        certain,
        possible,
        each,
        possible * framed,
        each * framed,
        each * moulded,
        max(found.exchanged, found.added) * framed,
    ]


def _part(value: float, none: float, whole: float) -> float:
    return min(1.0, max(0.0, (value - none) / (whole - none)))
