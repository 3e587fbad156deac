"""Texts of exactly so many tokens, as the emulator counts them for a model."""

import math
import random

from serving.hosted.emulator.tokens import BLOCK_OVERHEAD
from serving.hosted.models import catalog

# One token each: words up to six letters are one, on models whose tokenizer counts 1.0.
VOCABULARY = (
    "able about above after again air also answer any area ask back bank bill book both branch"
    " bring call card case cash change charge check city claim clear client close code copy cost"
    " credit date day debit desk due each early end every fact fee field file find first five form"
    " four from fund give goods hand help hold home hour house keep kind last late law leave"
    " left less letter limit line list loan long lost made mail make mark may mean meet month more"
    " move name near need never new next note number offer office often one only open order other"
    " over own page paid part pass past pay place plan point post price proof put rate reach read"
    " refund reply rest right rule sale same save say second see send set share show sign since"
    " site small sort stand state stay step stop store sum take tax tell term text that their then"
    " these three time title today total trade turn two under unit until use value view visit wait"
    " way week well what when where which who why will with word work write year you zone"
)


def text(words: int, seed: str) -> str:
    """So many words; equal seeds are equal texts."""
    return " ".join(random.Random(seed).choices(VOCABULARY.split(), k=words))


def blocks(tokens: int, model: str, seed: str) -> list[str]:
    """Texts which, each as a block of its own, have exactly so many tokens together: one, or two
    where the model's tokenizer makes that number of no single text. `ValueError` where it cannot
    be had.
    """
    ratio = catalog().ability(model).tokenizer
    whole = _words(tokens - BLOCK_OVERHEAD, ratio)
    if whole is not None:
        return [text(whole, seed)]
    for head in range(1, tokens):
        used = 2 * BLOCK_OVERHEAD + math.ceil(head * ratio)
        rest = _words(tokens - used, ratio)
        if rest is not None:
            return [text(head, f"{seed} head"), text(rest, seed)]
    raise ValueError(f"no texts have {tokens} tokens together on {model}")


def _words(tokens: int, ratio: float) -> int | None:
    """How many words have so many tokens; None where no number has."""
    near = int(tokens / ratio)
    found = (w for w in (near, near + 1) if w > 0 and math.ceil(w * ratio) == tokens)
    return next(found, None)
