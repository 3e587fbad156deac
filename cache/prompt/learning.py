"""What the usage that comes back teaches: tokens, what is stored, and when to ask the API."""

from cachetools import LRUCache

from cache.prompt.calls import Departed, Policy, Read
from cache.prompt.entries import Entries
from cache.prompt.ratio import TokenRatio
from cache.prompt.sent import Sent
from cache.prompt.verify import Verdict
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage

ASK_AGAIN = 20
"""Calls of a feature that ask the API for its reason after a miss that we cannot explain."""


class Learner:
    """Keeps `entries`, `ratio` and `policy` at what is known. With `diagnose` the API is asked for
    its reason after a miss that nothing here explains.
    """

    def __init__(
        self, entries: Entries, ratio: TokenRatio, policy: Policy, *, diagnose: bool
    ) -> None:
        self._entries, self._ratio, self._policy = entries, ratio, policy
        self._diagnose = diagnose
        self._asking: LRUCache[str, int] = LRUCache(1_000)

    def began(self, departed: Departed) -> None:
        """Its answer has begun: what it marked can be read by others."""
        expected = departed.expected
        self._entries.began(
            expected.chain.blocks, expected.points, departed.at, expected.standing.live
        )

    def failed(self, departed: Departed) -> None:
        """It ended before its answer had begun: nothing that it marked is stored."""
        if departed.expected.points:
            self._correct(departed, departed.expected.standing.live)

    def learn(self, departed: Departed, usage: Usage, found: Verdict) -> None:
        chain, points = departed.read.chain, departed.expected.points
        if chain.texts:
            self._ratio.learn(estimated=chain.estimated, counted=usage.prompt_tokens)
        if found.read is not None:
            self._entries.read(chain.blocks, points, departed.at, found.read)
        if found.outcome == "evicted":
            self._evicted(departed, found.read)
        stored = usage.cached_tokens + usage.cache_write_tokens
        if points and stored:
            self._entries.measured(chain.blocks[departed.sent.deepest].key, stored)
        elif points:
            self._entries.forget([chain.blocks[p.index].key for p in points])
            self._correct(departed, None)
        if usage.cache_miss_reason is not None:
            self._asking.pop(departed.read.scope, None)
        elif found.outcome == "evicted" and self._diagnose:
            self._asking[departed.read.scope] = ASK_AGAIN

    def asked(self, request: ChatRequest, read: Read, sent: Sent) -> ChatRequest:
        """The request, with the question why the cache was not read where that is to be asked. The
        API compares with an earlier request that asked as well.
        """
        left = self._asking.get(read.scope, 0)
        if not left:
            return request
        self._asking[read.scope] = left - 1
        before, sent.asked = read.earlier.nearest, True
        earlier = before.message_id if before is not None and before.asked else None
        return request.model_copy(update={"diagnostics": {"previous_message_id": earlier}})

    def _evicted(self, departed: Departed, read: int | None) -> None:
        """What should have been found was not: only what this call wrote is stored now."""
        chain, live = departed.read.chain, departed.expected.standing.live
        unread = range(0 if read is None else read + 1, 0 if live is None else live + 1)
        self._entries.forget([chain.blocks[i].key for i in unread])
        self._entries.began(chain.blocks, departed.expected.points, departed.at, read)
        self._correct(departed, read)

    def _correct(self, departed: Departed, read: int | None) -> None:
        """Tells the policy that nothing is stored behind block `read`."""
        chain = departed.read.chain
        self._policy.correct(chain.blocks, 0 if read is None else chain.ends[read])
