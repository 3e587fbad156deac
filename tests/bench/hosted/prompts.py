"""The example's requests: a stable prefix for each model, and a question that comes once."""

from typing import Any

from tests.bench.hosted.arithmetic import PREFIX, QUESTION, Work
from tests.bench.hosted.texts import blocks

Body = dict[str, Any]


class Prompts:
    """The same 2,000 and 200 tokens on each model, so that each has texts of its own: tokenizers
    differ.
    """

    def __init__(self) -> None:
        self._prefixes: dict[str, list[str]] = {}

    def body(self, call: Work, tier: str) -> Body:
        """As an OpenAI client sends it. In a batch, where nothing plans for the cache, the client
        marks its prefix itself.
        """
        system = self._system(call.model)
        if call.batch:
            system[-1]["cache_control"] = {"type": "ephemeral"}
        question = _parts(blocks(QUESTION, call.model, f"question {call.number}"))
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": question},
        ]
        return {"model": tier, "messages": messages}

    def _system(self, model: str) -> list[Body]:
        if model not in self._prefixes:
            self._prefixes[model] = blocks(PREFIX, model, "prefix")
        return _parts(self._prefixes[model])


def _parts(texts: list[str]) -> list[Body]:
    return [{"type": "text", "text": text} for text in texts]
