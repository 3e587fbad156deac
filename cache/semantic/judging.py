"""What the stored questions near a new one are worth: each by itself, and all together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cache.decision import MAX_LOGIT, Decision, Judgement
from cache.guards.reading import read
from cache.neighbours import Near, choose
from cache.semantic.entry import Entry, Vector
from cache.semantic.question import Question
from cache.semantic.shelf import Shelf
from cache.threshold import EntryEvidence

CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate. `score` is the judgement's, moved by the entry's own evidence and, by `moved`,
    by what the answers of the other candidates say.
    """

    entry: Entry
    judgement: Judgement
    score: float
    exact: bool = False
    moved: float = 0.0

    def explain(self) -> str:
        """For the trace; names no word of either text."""
        others = f"; its neighbours {self.moved:+.1f}" if self.moved else ""
        return self.judgement.explain() + others


def same(entry: Entry) -> Judged:
    """The entry of the very same text."""
    return Judged(entry, Judgement(1.0, MAX_LOGIT, 1.0), MAX_LOGIT, exact=True)


class Judging:
    """`shelf` gives the one in use: it is replaced when it is read anew."""

    def __init__(self, shelf: Callable[[], Shelf], decision: Decision) -> None:
        self._shelf = shelf
        self._decision = decision

    async def near(
        self, question: Question, vector: Vector, most: int = CANDIDATES
    ) -> list[Judged]:
        """Of the question's own scope, in other words than its own; each by itself."""
        reading = read(question.text)
        judged: list[Judged] = []
        for candidate in await self._shelf().look(question.scope, vector, most):
            entry = candidate.entry
            if entry.text == question.text:
                continue
            judgement = self._decision.judge(candidate.cosine, reading, read(entry.text))
            shift = EntryEvidence(entry.right, entry.wrong).shift
            judged.append(Judged(entry, judgement, judgement.score + shift))
        return judged

    def best(self, judged: Sequence[Judged]) -> Judged | None:
        """The one whose answer would be given, with what the others say of it."""
        groups = self._shelf().groups
        chosen = choose([Near(one.score, groups.of(one.entry.id)) for one in judged])
        if chosen is None:
            return None
        return replace(judged[chosen.index], score=chosen.score, moved=chosen.moved)

    def telling(self, judged: Sequence[Judged]) -> list[Judged]:
        """With whose answers a fresh one is compared: one of each group that is known to agree, and
        all of which nothing is known. The best is among them.
        """
        groups, best = self._shelf().groups, self.best(judged)
        ordered = sorted(judged, key=lambda one: best is not None and one.entry is best.entry)
        by_group = {groups.of(one.entry.id) or f"alone {one.entry.id}": one for one in ordered}
        return list(by_group.values())
