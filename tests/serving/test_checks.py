"""Checks in the background: bounded, alike for the same request, and ended in time."""

import asyncio

from serving.backend import Call, Embedding
from serving.checks import MAX_REQUEST_CHARS, Checks, drawn
from serving.wire.chat import ChatRequest

IDS = [f"req_{i:032x}" for i in range(4_000)]


def request(chars: int = 5) -> ChatRequest:
    messages = [{"role": "user", "content": "x" * chars}]
    return ChatRequest.model_validate({"model": "auto", "messages": messages})


class Bench:
    """Jobs are numbers; those over 99 fail, and each waits for the gate."""

    def __init__(self, max_concurrent: int = 1, max_queued: int = 2) -> None:
        self.gate = asyncio.Event()
        self.done: list[int] = []
        self.errors: list[str] = []
        self.running = self.most = 0
        self.checks = Checks(
            self._run,
            lambda error: self.errors.append(str(error)),
            name="bench",
            max_concurrent=max_concurrent,
            max_queued=max_queued,
        )

    async def _run(self, job: int) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        if job > 99:
            raise ValueError(str(job))
        self.done.append(job)


async def test_a_few_run_at_a_time_and_the_queue_is_bounded() -> None:
    bench = Bench(max_concurrent=2, max_queued=2)
    for job in range(4):
        assert bench.checks.obstacle(request()) is None
        bench.checks.put(job)
        await asyncio.sleep(0)
    assert bench.checks.obstacle(request()) == "queue_full"
    assert bench.most == 2
    bench.gate.set()
    assert await bench.checks.close(5) == 0
    assert sorted(bench.done) == [0, 1, 2, 3]
    assert bench.checks.obstacle(request()) == "shutdown"


async def test_a_job_that_fails_ends_no_other() -> None:
    bench = Bench()
    bench.gate.set()
    for job in (100, 1):
        bench.checks.put(job)
    await bench.checks.close(5)
    assert (bench.errors, bench.done) == (["100"], [1])


async def test_what_is_late_is_given_up_and_counted() -> None:
    bench = Bench(max_queued=5)
    for job in range(3):
        bench.checks.put(job)
    await asyncio.sleep(0)
    assert await bench.checks.close(0.01) == 3
    assert (bench.done, bench.running) == ([], 0)


def test_long_requests_are_not_taken() -> None:
    checks = Bench().checks
    assert checks.obstacle(request(MAX_REQUEST_CHARS)) is None
    assert checks.obstacle(request(MAX_REQUEST_CHARS + 1)) == "too_long"


def test_a_draw_is_alike_for_a_request_and_apart_for_each_purpose() -> None:
    first = [drawn(i, 0.25, "one") for i in IDS]
    assert first == [drawn(i, 0.25, "one") for i in IDS]
    assert 0.22 < sum(first) / len(IDS) < 0.28
    assert not any(drawn(i, 0.0, "one") for i in IDS)
    assert all(drawn(i, 1.0, "one") for i in IDS)
    both = sum(a and drawn(i, 0.25, "other") for i, a in zip(IDS, first, strict=True))
    assert 0.04 < both / len(IDS) < 0.085


def test_a_call_aside_shares_nothing_that_is_written() -> None:
    call = Call("req", "acme", deadline=1.0, key_id="k", task="faq", max_tier="small")
    call.computed.embedding = Embedding("text", b"", "words")
    aside = call.aside("spot_check", deadline=2.0)
    assert (aside.tenant, aside.key_id, aside.task) == ("acme", "k", "faq")
    assert (aside.kind, aside.urgency, aside.deadline) == ("spot_check", "offline", 2.0)
    assert aside.max_tier is None
    assert aside.trace is not call.trace
    assert aside.computed.embedding is None
