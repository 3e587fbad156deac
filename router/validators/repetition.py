"""Loops: answers in which a model says the same again and again."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.validators.answer import Answer
from serving.settings.validation import NoRepetition

TAIL_CHARS = 20_000
"""A model that loops does not stop looping, so the end of a long answer shows it."""

MIN_NGRAMS = 8
"""Below this many n-grams a share means nothing: "no, no, no" is an answer."""

LONG_WORD = 32
CHARS_PER_WORD = 4


@dataclass(frozen=True, slots=True)
class RepetitionCheck:
    spec: NoRepetition
    kind: str = "no_repetition"
    whole: bool = False

    def check(self, answer: Answer) -> str | None:
        share = repeated_share(answer.text, self.spec.ngram)
        if share <= self.spec.max_share:
            return None
        return f"{share:.0%} of its {self.spec.ngram}-grams repeat an earlier one"

    def prefix(self, _text: str, /) -> str | None:
        """A share can fall again, so a beginning decides nothing."""
        return None


def repeated_share(text: str, ngram: int) -> float:
    """The share, 0 to 1, of n-grams that occurred before in the last `TAIL_CHARS` characters.

    Words are what stands between white space. Text without it (Chinese, or "aaaa…") has no words
    to count: runs of over `LONG_WORD` characters are counted by character, `CHARS_PER_WORD * ngram`
    characters at a time, and weigh as much as they are of the text. The greater share counts.
    """
    tail = text[-TAIL_CHARS:]
    words = tail.split()
    long = [word for word in words if len(word) > LONG_WORD]
    by_word = _share(words, ngram)
    if not long:
        return by_word
    run = "".join(long)
    weight = len(run) / sum(len(word) for word in words)
    return max(by_word, weight * _share(run, CHARS_PER_WORD * ngram))


def _share(units: Sequence[str], n: int) -> float:
    count = len(units) - n + 1
    if count < MIN_NGRAMS:
        return 0.0
    seen = {
        tuple(units[i : i + n]) if not isinstance(units, str) else units[i : i + n]
        for i in range(count)
    }
    return 1 - len(seen) / count
