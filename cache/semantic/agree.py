"""Whether a stored answer says what a fresh one says: the comparison of the task."""

import asyncio
from collections.abc import Callable
from hashlib import blake2b

import orjson
from cachetools import LRUCache

from cache.embedder.base import TextEmbedder
from cache.guards.reading import read
from cache.semantic.answer import Answer
from cache.semantic.entry import Vector
from serving.settings.tasks import TaskSettings
from serving.wire.completion import Choice

Compare = Callable[[Choice, Choice, TaskSettings], bool | None]
"""By `exact`, `structured` or `similarity`, as the task says. Blocks for a while on long texts."""

MAX_CHARS = 20_000
REMEMBERED = 4_096
"""Vectors of answers, 1.5 kB each with the default embedder."""


class Agreement:
    """`compare` is for all but meaning, of which vectors tell."""

    def __init__(self, compare: Compare, embedder: TextEmbedder) -> None:
        self._compare = compare
        self._embedder = embedder
        self._vectors: LRUCache[bytes, Vector] = LRUCache(REMEMBERED)

    async def right(self, stored: Answer, fresh: Answer, task: TaskSettings) -> bool | None:
        """None where the two cannot be compared."""
        a, b = stored.completion.choices, fresh.completion.choices
        if len(a) != 1 or len(b) != 1:
            return None
        if task.cache.semantic.compare == "embedding" and not (data(a[0]) or data(b[0])):
            return await self._same_meaning(a[0].content or "", b[0].content or "", task)
        return await asyncio.to_thread(self._compare, a[0], b[0], task)

    async def _same_meaning(self, a: str, b: str, task: TaskSettings) -> bool:
        """By the cosine of their beginnings, as far as the model reads. Answers that name numbers,
        and not one in common, disagree however alike they sound.
        """
        a, b = a[:MAX_CHARS], b[:MAX_CHARS]
        if a == b:
            return True
        numbers = read(a).numbers, read(b).numbers
        if all(numbers) and numbers[0].isdisjoint(numbers[1]):
            return False
        one, other = await self._vector(a), await self._vector(b)
        return bool(float(one @ other) >= task.cache.semantic.min_similarity)

    async def _vector(self, text: str) -> Vector:
        """A stored answer is compared again and again."""
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        vector = self._vectors.get(key)
        if vector is None:
            vector = self._vectors[key] = (await self._embedder.embed([text]))[0]
        return vector


def data(choice: Choice) -> bool:
    """Whether the answer is for a machine: tool calls or JSON, of which every value counts."""
    text = (choice.content or "").strip()
    if choice.tool_calls:
        return True
    if text[:1] not in {"{", "["}:
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
