"""Clients of the cluster: what became of each of their requests."""

import asyncio
import gzip
import itertools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from tests.ray.cluster.overlay import KEY

DATA = os.environ.get("STEPWELL_TEST_DATA")
EXPLAIN = {"stepwell": {"explain": True}}
TIMEOUT_S = 60
STREAMED = 4
"""Every so manieth request is streamed."""


@dataclass
class Seen:
    """`answered` holds the request ids of answers, `refused` the codes of errors in OpenAI's words,
    `broken` what was neither; `again` counts second tries; `at` is when each answer was there.
    """

    answered: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    again: int = 0
    at: dict[str, float] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        return len(self.answered) + sum(self.refused.values()) + len(self.broken)


def questions(count: int) -> list[str]:
    """Real ones where there are any, and as many as wanted all the same."""
    if DATA is None:
        return [f"How do I change setting {n} of my account?" for n in range(count)]
    with gzip.open(Path(DATA) / "banking77_test.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in itertools.islice(lines, count)]


def replay(
    url: str, texts: list[str], *, at_once: int, reached: dict[int, Callable[[], None]]
) -> Seen:
    """Sends all, each a second time where the first ends in a broken connection or a 5xx; calls
    what is `reached` once so many have ended, while the others go on.
    """
    seen = Seen()
    with ThreadPoolExecutor(1) as pool:
        asyncio.run(_replay(url, texts, seen, at_once=at_once, reached=reached, pool=pool))
    return seen


async def _replay(
    url: str,
    texts: list[str],
    seen: Seen,
    *,
    at_once: int,
    reached: dict[int, Callable[[], None]],
    pool: ThreadPoolExecutor,
) -> None:
    loop = asyncio.get_running_loop()
    left = iter(enumerate(texts))
    calls = dict(reached)
    under_way = []

    async def work(client: openai.AsyncOpenAI) -> None:
        for number, text in left:
            await _send(client, seen, text, stream=number % STREAMED == 0)
            if call := calls.pop(seen.ended, None):
                under_way.append(loop.run_in_executor(pool, call))

    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT_S
    ) as client:
        await asyncio.gather(*(work(client) for _ in range(at_once)))
    await asyncio.gather(*under_way)
    assert not calls, "not all that was to happen did"


async def _send(client: openai.AsyncOpenAI, seen: Seen, text: str, *, stream: bool) -> None:
    for last in (False, True):
        try:
            request_id = await _ask(client, text, stream=stream)
            seen.answered.append(request_id)
            seen.at[request_id] = time.monotonic()
        except (openai.APIConnectionError, openai.InternalServerError) as error:
            if not last:
                seen.again += 1
                continue
            _note(seen, error)
        except openai.APIError as error:  # an error event within a stream is one of these, too
            _note(seen, error)
        return


async def _ask(client: openai.AsyncOpenAI, text: str, *, stream: bool) -> str:
    """The request's id."""
    asked: Any = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    asked["extra_body"] = EXPLAIN
    if not stream:
        answer = await client.chat.completions.create(**asked)
        assert answer.choices[0].message.content
        return str((answer.model_extra or {})["stepwell"]["request_id"])
    last: Any = None
    try:
        async for chunk in await client.chat.completions.create(stream=True, **asked):
            last = chunk
    except openai.APIError:
        raise
    except Exception as cut:  # of the HTTP library, which the SDK lets through here
        raise openai.APIConnectionError(request=asked) from cut
    assert last is not None
    return str((last.model_extra or {})["stepwell"]["request_id"])


def _note(seen: Seen, error: openai.APIError) -> None:
    if isinstance(error.body, dict) and error.type and error.message:
        seen.refused[error.code or error.type] += 1
    else:
        seen.broken.append(repr(error))


@dataclass
class Load:
    """What clients without any retry have met so far."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def tiers_from_now(self, answers: int = 30) -> set[str]:
        """Those that answer the next so many requests."""
        before, start = Counter(self.answered), self.answered.total()
        until = time.monotonic() + TIMEOUT_S
        while self.answered.total() < start + answers:
            assert time.monotonic() < until, self.failed
            time.sleep(0.05)
        return set(self.answered - before)


@contextmanager
def load(url: str, clients: int = 2) -> Iterator[Load]:
    """Clients that ask without a pause, a new question each time, until the end."""
    found, stop = Load(), threading.Event()
    numbers = itertools.count()

    def work() -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
            for _ in _until(stop):
                try:
                    found.answered[_tier(client, f"What is fee {next(numbers)}?")] += 1
                except Exception as error:
                    found.failed.append(repr(error))

    with ThreadPoolExecutor(clients) as pool:
        workers = [pool.submit(work) for _ in range(clients)]
        try:
            yield found
        finally:
            stop.set()
        for worker in workers:
            worker.result()


def _until(stop: threading.Event) -> Iterable[None]:
    while not stop.is_set():
        yield


def _tier(client: openai.OpenAI, text: str) -> str:
    asked: Any = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    answer = client.chat.completions.create(**asked, extra_body=EXPLAIN)
    return str((answer.model_extra or {})["stepwell"]["tier"])
