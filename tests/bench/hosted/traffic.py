"""The soak's requests: streams and not, some of whose clients leave."""

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from serving.hosted.emulator.tokens import BLOCK_OVERHEAD, text_tokens
from serving.hosted.models import catalog
from tests.bench.hosted.texts import text

FEATURE = "soak"
# Two that think, two that do not; three tokenizers; prefixes that each of them stores.
TIERS = {
    "haiku": "claude-haiku-4-5",
    "sonnet": "claude-sonnet-5-5",
    "opus-4-8": "claude-opus-4-8",
    "opus": "claude-opus-5-5",
}
PREFIX_WORDS = {"haiku": 4_300}
USUAL_PREFIX_WORDS = 1_200
SHORTEST = 20
LEAVE = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. No other at its tier has a prompt of as many tokens, so that the emulator's
    bills can be told apart. `leaves_at` is when its client does: after so many chunks of a stream,
    or so many hundredths of a second; None: it stays.
    """

    number: int
    tier: str
    stream: bool
    leaves_at: int | None

    @property
    def model(self) -> str:
        return TIERS[self.tier]

    @property
    def question(self) -> str:
        return text(SHORTEST + self.number // len(TIERS), f"question {self.number}")

    @property
    def prompt_tokens(self) -> int:
        """As the emulator counts them."""
        ratio = catalog().ability(self.model).tokenizer
        question = text_tokens(self.question, ratio)
        return 2 * BLOCK_OVERHEAD + text_tokens(prefix(self.tier), ratio) + question

    def body(self) -> dict[str, Any]:
        messages = [
            {"role": "system", "content": prefix(self.tier)},
            {"role": "user", "content": self.question},
        ]
        own = {"feature": FEATURE, "step": str(self.number)}
        body: dict[str, Any] = {
            "model": self.tier,
            "messages": messages,
            "extra_body": {"stepwell": own},
        }
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


@cache
def prefix(tier: str) -> str:
    return text(PREFIX_WORDS.get(tier, USUAL_PREFIX_WORDS), f"prefix of {tier}")


def traffic(count: int, seed: int) -> list[Asked]:
    choose = random.Random(seed)
    names = list(TIERS)
    return [
        Asked(
            number=n,
            tier=names[n % len(names)],
            stream=choose.random() < 0.5,
            leaves_at=choose.randrange(8) if choose.random() < LEAVE else None,
        )
        for n in range(count)
    ]
