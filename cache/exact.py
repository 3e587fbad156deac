"""The exact cache: the same request in the same scope gets the same answer again, at no cost.

Off unless the task opts in. Only answers that were accepted without reserve are kept: not best
effort, not degraded, not refused, not cut short; a stream only once it has come to a clean end.
"""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from cache.entries import PER_ENTRY, Entries, Entry
from cache.evictions import SharedEvictions
from cache.footprint import footprint
from cache.keep import Copy, HitLedger, keepable, maker_of, replay, without_logprobs
from cache.scope import scope_key
from serving.backend import Backend, Call, ChunkStream
from serving.settings.root import CacheSettings
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion, as_chunks


@dataclass(frozen=True, slots=True)
class _Lookup:
    """`key` is None where the request is not to be cached, `ttl_s` is what an entry may
    live, `look` what was known of evictions elsewhere. `started` is in `time.monotonic()` seconds.
    """

    started: float
    key: str | None = None
    entry: Entry | None = None
    ttl_s: float = 0.0
    look: int = 0


class ExactCached:
    """A Backend around `inner`. `tasks` gives a task's settings by the name in the call; `policy`
    is part of every key (see `scope_key`); `clock` counts seconds. `evictions` is
    for where other processes keep answers of their own for the same clients: what any of them
    evicts is no longer answered here, and no entry lives longer than `l1_ttl_s`. Without it the
    task's time to live holds in full.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        tasks: Callable[[str | None], TaskSettings],
        ledger: HitLedger,
        settings: CacheSettings,
        policy: str = "",
        evictions: SharedEvictions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._tasks = tasks
        self._ledger = ledger
        self._settings = settings
        self._policy = policy
        self._evictions = evictions
        self._clock = clock
        self._entries = Entries(settings.max_bytes, clock)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        found = self._look_up(request, call)
        if found.entry is not None:
            return await self._hit(found.entry, call, found.started)
        completion = await self._inner.complete(request, call)
        self._offer(found, request, call, completion)
        return completion

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        found = self._look_up(request, call)
        if found.entry is not None:
            for chunk in as_chunks(await self._hit(found.entry, call, found.started)):
                yield chunk
            return
        kept = Copy(self._settings.max_entry_bytes) if found.key is not None else None
        async with aclosing(self._inner.stream(request, call)) as chunks:
            async for chunk in chunks:
                if kept is not None:
                    kept.add(chunk)
                yield chunk
        if kept is not None and (completion := kept.completion()) is not None:
            self._offer(found, request, call, completion)

    def evict(self, request_id: str) -> bool:
        """Forgets the answer that this request made, once it turns out to be wrong. False where
        there is none; one that is still on its way in will not be kept.
        """
        if self._evictions is not None:
            self._evictions.evict(request_id)
        return self._entries.evict(request_id)

    def forget(self) -> None:
        """Forgets all that is kept."""
        self._entries.clear()

    def _look_up(self, request: ChatRequest, call: Call) -> _Lookup:
        started = time.monotonic()
        task = self._tasks(call.task)
        off = _why_off(request, call, task, self._settings)
        if off is None and self._evictions is not None and not self._evictions.fresh:
            off = "what other gateways evicted is not known"
        key = scope_key(request, call, self._policy) if off is None else None
        if key is None:
            call.trace.cache = "off"
            call.trace.note("cache", "off", off or "the request has no exact form")
            return _Lookup(started)
        entry = None if call.paid else self._current(key)
        call.trace.cache = "miss" if entry is None else "exact"
        if entry is None:
            call.trace.note("cache", "miss", f"no entry for task {task.name!r}")
        if self._evictions is None:
            return _Lookup(started, key, entry, task.cache.ttl_s)
        ttl_s = min(task.cache.ttl_s, self._settings.l1_ttl_s)
        return _Lookup(started, key, entry, ttl_s, self._evictions.look)

    def _current(self, key: str) -> Entry | None:
        """The entry, unless it has been evicted elsewhere."""
        entry = self._entries.get(key)
        if entry is None or self._evictions is None:
            return entry
        if self._evictions.overtaken(key, entry.look):
            self._entries.drop(key)
            return None
        return entry

    async def _hit(self, entry: Entry, call: Call, started: float) -> Completion:
        age = self._clock() - entry.stored_at
        call.trace.note("cache", "hit", f"answer of {entry.attempt_id}, {age:.0f} s old")
        return await replay(entry, call, self._ledger, started=started, reason="exact_cache_hit")

    def _offer(
        self, found: _Lookup, request: ChatRequest, call: Call, completion: Completion
    ) -> None:
        """Keeps the answer if it may be kept."""
        maker = maker_of(call)
        if found.key is None or maker is None or not keepable(completion, call):
            return
        if self._evictions is not None:
            self._evictions.made(call.request_id, found.key)
            if self._evictions.overtaken(found.key, found.look):
                return
        if not request.logprobs:
            completion = without_logprobs(completion)
        size = PER_ENTRY + footprint(completion)
        if size > self._settings.max_entry_bytes:
            call.trace.note("cache", "not kept", f"{size} bytes are too many for one entry")
            return
        entry = Entry(
            completion=completion,
            tier=maker.tier,
            model=maker.model,
            simulated=maker.simulated,
            dropped=tuple(call.trace.dropped),
            request_id=call.request_id,
            attempt_id=maker.id,
            size=size,
            stored_at=self._clock(),
            ttl_s=found.ttl_s,
            look=found.look,
        )
        self._entries.put(found.key, entry)


def _why_off(
    request: ChatRequest, call: Call, task: TaskSettings, settings: CacheSettings
) -> str | None:
    """Why this request is not to be cached, None where it is."""
    if settings.max_bytes == 0:
        return "the cache is off"
    if not task.cache.enabled or task.critical:
        return f"task {task.name!r} is not cached"
    if request.options.cache is False:
        return "off for this request"
    return None if call.kind == "attempt" else "a spot check must ask anew"
