"""What two readings differ in, as numbers for the decision. Pure."""

from dataclasses import dataclass, fields
from itertools import combinations

from rapidfuzz.distance import Indel

from cache.guards.lexicon import Lexicon, lexicon
from cache.guards.question import Kind
from cache.guards.reading import Reading

NEGATING = ("un", "in", "im", "il", "ir", "dis", "non", "de", "mis", "anti")
EXCHANGED = (
    ("hyper", "hypo"),
    ("over", "under"),
    ("pre", "post"),
    ("up", "down"),
    ("in", "out"),
    ("en", "de"),
    ("inter", "intra"),
    ("macro", "micro"),
    ("max", "min"),
    ("ex", "im"),
    ("in", "ex"),
    ("pro", "anti"),
    ("mater", "pater"),
)
SAME_CONTENT = 0.7
ME = "me"
MOST = 2.0
MAX_PAIRS = 1_000
"""Beyond it texts are too long for word against word, and their difference is none of one word."""
REVERSING = frozenset(
    "cancel undo stop avoid prevent except exclud onli instead never without but revert revers"  # noqa: SIM905  words read better in a line
    " withdraw ignor skip forbid unless despit rather not".split()
)
"""Concepts: what undoes, avoids or leaves out."""
_NONE: frozenset[str] = frozenset()
_ASKING = frozenset({"why", "when", "where", "who", "many", "much", "long", "far", "often", "old"})


@dataclass(frozen=True, slots=True)
class Differences:
    """All are 0 for two texts that read the same, except `shared` and `frame`, which are 1 then.
    Shares are of the weight of all content words; what has no word here is yes (1) or no.
    """

    shared: float
    """Share of the content that both have."""
    frame: float
    """How much of both is the same words in the same order."""
    exchanged: float
    """Share of the content in which one has something else than the other."""
    added: float
    """Share of the content that one has beyond the other."""
    numbers: float
    only_number: float
    kinds: float
    """Members of one kind, another one here than there."""
    opposites: float
    """Words with their opposite in the other. A negation beside it takes one back: "not right" and
    "wrong"."""
    negation: float
    reversal: float
    """One undoes, avoids or leaves out what the other does."""
    tense: float
    """What was against what will be."""
    names: float
    only_name: float
    codes: float
    only_code: float
    asks: float
    ways: float
    """One asks how, the other whether or what."""
    roles: float
    """Two things that changed places, in texts of the same content."""


NAMES = tuple(field.name for field in fields(Differences))


def compare(a: Reading, b: Reading) -> Differences:
    """Symmetric."""
    known = lexicon()
    only_a = {c: w for c, w in a.weights.items() if c not in b.weights}
    only_b = {c: w for c, w in b.weights.items() if c not in a.weights}
    shared = sum(w for c, w in a.weights.items() if c in b.weights)
    less, more = sorted((sum(only_a.values()), sum(only_b.values())))
    total = (shared + more) or 1.0
    loose_a = set(a.concepts).difference(b.concepts)
    loose_b = set(b.concepts).difference(a.concepts)
    turned = _opposites(loose_a, loose_b, known)
    negated = a.negations % 2 != b.negations % 2
    if negated and turned:
        negated, turned = False, turned - 1
    numbers, only_number = _differ(a.numbers, b.numbers)
    codes, only_code = _differ(a.codes, b.codes)
    names, only_name = _differ(a.names & only_a.keys(), b.names & only_b.keys())
    return Differences(
        shared=shared / total if a.weights or b.weights else 1.0,
        frame=Indel.normalized_similarity(a.concepts, b.concepts),
        exchanged=less / total,
        added=(more - less) / total,
        numbers=numbers,
        only_number=only_number,
        kinds=_kinds(only_a, only_b, known),
        opposites=float(min(MOST, turned)),
        negation=float(negated),
        reversal=float(loose_a.isdisjoint(REVERSING) != loose_b.isdisjoint(REVERSING)),
        tense=float(None not in (a.tense, b.tense) and a.tense != b.tense),
        names=names,
        only_name=only_name,
        codes=codes,
        only_code=only_code,
        asks=_asks(a.asks, b.asks),
        ways=float(a.asks != b.asks and {a.asks, b.asks} <= {"how", "yes", "what"}),
        roles=_roles(a, b, known) if shared >= SAME_CONTENT * total else 0.0,
    )


def _differ(a: frozenset[str], b: frozenset[str]) -> tuple[float, float]:
    """Whether both have something and not the same, and whether one alone has."""
    if a == b:
        return 0.0, 0.0
    return (1.0, 0.0) if a and b else (0.0, 1.0)


def _asks(a: Kind | None, b: Kind | None) -> float:
    """Whether one asks for a reason, a time, a place or an amount, and the other for another of
    them, for a way or for yes or no. "What" may ask for any of them.
    """
    plain = ("how", "yes")
    apart = a != b and (a in _ASKING or b in _ASKING)
    return float(apart and all(asked in _ASKING or asked in plain for asked in (a, b)))


def _kinds(only_a: dict[str, float], only_b: dict[str, float], known: Lexicon) -> float:
    """Half of the concepts of kinds that have another member here than there; at most `MOST`."""
    of_a = {kind for concept in only_a for kind in known.kinds.get(concept, ())}
    of_b = {kind for concept in only_b for kind in known.kinds.get(concept, ())}
    both = of_a & of_b
    if not both:
        return 0.0
    found = {c for c in (*only_a, *only_b) if not both.isdisjoint(known.kinds.get(c, ()))}
    return min(MOST, len(found) / 2)


def _opposites(loose_a: set[str], loose_b: set[str], known: Lexicon) -> int:
    """How many words have their opposite in the other text alone."""
    found = sum(not known.opposites.get(x, _NONE).isdisjoint(loose_b) for x in loose_a)
    if found or len(loose_a) * len(loose_b) > MAX_PAIRS:
        return found
    return sum(any(_by_prefix(x, y) for y in loose_b) for x in loose_a)


def _by_prefix(x: str, y: str) -> bool:
    """`unsafe` and `safe`, `hyperactive` and `hypoactive`."""
    if abs(len(x) - len(y)) > 4 or min(len(x), len(y)) < 3:
        return False
    short, long = (x, y) if len(x) < len(y) else (y, x)
    if len(short) >= 4 and any(long == prefix + short for prefix in NEGATING):
        return True
    for one, other in EXCHANGED:
        for p, q in ((one, other), (other, one)):
            rest = x.removeprefix(p)
            if rest != x and len(rest) >= 3 and y == q + rest:
                return True
    return False


def _roles(a: Reading, b: Reading, known: Lexicon) -> float:
    """1 where two things of the content stand in each other's place, or one comes from where it
    went. An enumeration has no order.
    """
    at_a, at_b = _places(a, b), _places(b, a)
    if len(at_a) ** 2 > MAX_PAIRS:
        return 0.0
    for x in at_a:
        if {at_a[x][1], at_b[x][1]} == {"from", "to"}:
            return 1.0
    for x, y in combinations(at_a, 2):
        (place_x, role_x), (place_y, role_y) = at_a[x], at_a[y]
        (other_x, other_role_x), (other_y, other_role_y) = at_b[x], at_b[y]
        turned = (place_x < place_y) != (other_x < other_y)
        turned = turned and role_x == other_role_y and role_y == other_role_x
        if turned and "and" not in (role_x, role_y) and _interchangeable(x, y, known):
            return 1.0
    return 0.0


def _interchangeable(x: str, y: str, known: Lexicon) -> bool:
    """Whether one could stand where the other does: two of a kind, or two of no known kind."""
    if ME in (x, y):
        return True
    if x[0].isdigit() or y[0].isdigit():
        return x[0].isdigit() and y[0].isdigit()
    of_x, of_y = known.kinds.get(x), known.kinds.get(y)
    if of_x is None or of_y is None:
        return of_x is of_y or y in known.opposites.get(x, ())
    return not of_x.isdisjoint(of_y)


def _places(of: Reading, other: Reading) -> dict[str, tuple[int, str]]:
    """Where shared content stands first, and in which role; light words are passed over. Whoever
    asks is somebody too.
    """
    found: dict[str, tuple[int, str]] = {}
    for place, token in enumerate(of.tokens):
        concept = token.concept
        if concept in ("i", "me"):
            if "i" in other.concepts or "me" in other.concepts:
                found.setdefault(ME, (place, ""))
        elif token.weight >= 1 and concept in other.weights:
            found.setdefault(concept, (place, token.role))
    return found
