"""Made-up traffic of different kinds, as traces of prompt blocks.

Each kind yields events (time, blocks of the prompt); `lines` turns them into a trace's lines. Block
ids are made of what the block holds, so what is shared is shared by name.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

BLOCK = 512
HOUR = 3_600.0

Event = tuple[float, list[str]]
Kind = Callable[[random.Random], Iterator[Event]]


def lines(events: Iterable[Event], rng: random.Random) -> list[dict[str, Any]]:
    """The events in order. The last block of a prompt is mostly a partial one, and always its own:
    what follows it in a later prompt makes another block of it.
    """
    made = []
    for number, (t, blocks) in enumerate(sorted(events, key=lambda event: event[0])):
        tail = rng.randint(1, BLOCK)
        made.append(
            {
                "t": round(t, 3),
                "prompt_tokens": len(blocks) * BLOCK + tail,
                "completion_tokens": rng.randint(1, 400),
                "prefix_blocks": [*blocks, f"end-{number}"],
            }
        )
    return made


def new(count: int, *names: object) -> list[str]:
    """So many blocks that only the same names make again."""
    name = "/".join(map(str, names))
    return [f"{name}#{i}" for i in range(count)]


def arrivals(rng: random.Random, mean_gap: float, until: float) -> Iterator[float]:
    """Times of a Poisson process."""
    t = rng.expovariate(1 / mean_gap)
    while t < until:
        yield t
        t += rng.expovariate(1 / mean_gap)


def chats(rng: random.Random, hours: float = 3.0, think: float = 60.0) -> Iterator[Event]:
    """Conversations of some turns behind one of three system prompts."""
    for number, start in enumerate(arrivals(rng, 20.0, hours * HOUR)):
        prompt = new(4, "system", rng.randrange(3))
        t, turn = start, 0
        while t < hours * HOUR:
            prompt = [*prompt, *new(rng.randint(1, 4), "chat", number, turn)]
            yield t, prompt
            turn += 1
            if rng.random() < 0.25:
                break
            t += rng.lognormvariate(0, 1.0) * think


def slow_chats(rng: random.Random) -> Iterator[Event]:
    """People who answer after a quarter of an hour."""
    return chats(rng, 8.0, 900.0)


def shared(rng: random.Random) -> Iterator[Event]:
    """Features that each have a prefix of their own, asked at very different rates."""
    gaps = (8.0, 40.0, 150.0, 280.0, 700.0, 1_500.0, 5_000.0)
    for feature, gap in enumerate(gaps):
        prefix = new(rng.randint(2, 14), "feature", feature)
        for i, t in enumerate(arrivals(rng, gap, 6 * HOUR)):
            yield t, [*prefix, *new(rng.randint(0, 2), "ask", feature, i)]


def agents(rng: random.Random) -> Iterator[Event]:
    """Tasks of many quick steps on one growing prompt, some with helpers that start from it."""
    tools = new(9, "tools")
    for number, start in enumerate(arrivals(rng, 90.0, 2 * HOUR)):
        t, prompt = start, [*tools, *new(rng.randint(1, 20), "task", number)]
        for step in range(rng.randint(3, 25)):
            yield t, prompt
            if rng.random() < 0.08:
                for helper in range(rng.randint(3, 8)):
                    own = new(2, "helper", number, step, helper)
                    yield t + 0.5 + helper * 0.05, [*prompt, *own]
            prompt = [*prompt, *new(rng.randint(1, 3), "step", number, step)]
            t += rng.uniform(2.0, 15.0)


def bursts(rng: random.Random) -> Iterator[Event]:
    """Shared prefixes in use for some minutes, then not for an hour or two."""
    for feature in range(12):
        t = rng.uniform(0.0, 2 * HOUR)
        prefix = new(rng.randint(3, 16), "burst", feature)
        for burst in itertools.count():
            if t > 10 * HOUR:
                break
            for i in range(rng.randint(1, 30)):
                yield t, [*prefix, *new(rng.randint(0, 3), "ask", feature, burst, i)]
                t += rng.expovariate(1 / 25.0)
            t += rng.uniform(0.3, 2.0) * HOUR


def slow(rng: random.Random) -> Iterator[Event]:
    """Documents that come again after ten to forty minutes, a few times each."""
    for number, start in enumerate(arrivals(rng, 25.0, 10 * HOUR)):
        document = new(rng.randint(4, 60), "document", number)
        t = start
        for use in range(rng.randint(1, 8)):
            if t < 10 * HOUR:
                yield t, [*document, *new(1, "question", number, use)]
            t += rng.uniform(600.0, 2_400.0)


def unique(rng: random.Random) -> Iterator[Event]:
    """Nothing comes again."""
    for number, t in enumerate(arrivals(rng, 2.0, HOUR)):
        yield t, new(rng.randint(1, 60), "alone", number)


def documents(rng: random.Random) -> Iterator[Event]:
    """Questions about documents, a few of which are popular, behind one system prompt."""
    system = new(2, "system")
    for number, t in enumerate(arrivals(rng, 3.0, 1.5 * HOUR)):
        which = int(rng.paretovariate(0.35))
        size = 5 + which * 7_919 % 90
        document = new(size, "document", which if which < 10**6 else f"once-{number}")
        yield t, [*system, *document, *new(rng.randint(0, 2), "question", number)]


def abandoned(rng: random.Random) -> Iterator[Event]:
    """What was shared for an hour is not any more."""
    for number, t in enumerate(arrivals(rng, 6.0, 4 * HOUR)):
        name = ("document", rng.randrange(8)) if t < HOUR else ("alone", number)
        yield t, [*new(20, *name), *new(1, "question", number)]


def rediscovered(rng: random.Random) -> Iterator[Event]:
    """Nothing is shared for an hour, and then all is."""
    for t, blocks in abandoned(rng):
        yield 4 * HOUR - t, blocks


def tools(rng: random.Random) -> Iterator[Event]:
    """Agents of many products behind long prompts of their own, some in all of the traffic and most
    hardly ever; times come in steps of three seconds, as some logs have them.
    """
    sizes = [rng.randint(3, 40) for _ in range(400)]
    for number, t in enumerate(arrivals(rng, 1.6, HOUR)):
        which = min(int(rng.paretovariate(0.6)), 400) - 1
        common = new(2, "vendor", which % 7)
        prompt = [*common, *new(sizes[which], "product", which)]
        prompt += new(rng.randint(0, 12), "task", number)
        when = t // 3 * 3
        for step in range(rng.choice((1, 1, 1, 2, 3, 5))):
            yield when, prompt
            prompt = [*prompt, *new(rng.randint(1, 2), "step", number, step)]
            when += rng.randint(1, 12) * 3


def day_and_night(rng: random.Random) -> Iterator[Event]:
    """Features whose rate follows the hour of the day, over a day and a half."""
    for feature, gap in enumerate((30.0, 120.0, 400.0, 1_200.0)):
        prefix = new(rng.randint(4, 18), "feature", feature)
        for i, t in enumerate(arrivals(rng, gap, 36 * HOUR)):
            daylight = 0.5 - 0.5 * math.cos(2 * math.pi * t / (24 * HOUR))
            if rng.random() < daylight**2:
                yield t, [*prefix, *new(rng.randint(0, 2), "ask", feature, i)]


def drifting(rng: random.Random) -> Iterator[Event]:
    """Prompts whose middle is replaced from time to time: new instructions, another index."""
    for feature, (gap, life) in enumerate(((12.0, 900.0), (45.0, 5_400.0), (240.0, 3_000.0))):
        head = new(3, "head", feature)
        phase = rng.uniform(0.0, life)
        for i, t in enumerate(arrivals(rng, gap, 5 * HOUR)):
            middle = new(12, "middle", feature, int((t + phase) // life))
            yield t, [*head, *middle, *new(rng.randint(0, 3), "ask", feature, i)]


def long_tail(rng: random.Random) -> Iterator[Event]:
    """Thousands of customers with a prefix of their own, the popular ones every minute."""
    sizes = [rng.randint(2, 30) for _ in range(3_000)]
    for number, t in enumerate(arrivals(rng, 4.0, 3 * HOUR)):
        which = min(int(rng.paretovariate(0.45)), 3_000) - 1
        prefix = new(sizes[which], "customer", which)
        yield t, ["system", *prefix, *new(rng.randint(0, 3), "ask", number)]


def mixture(rng: random.Random) -> Iterator[Event]:
    """All at once."""
    kinds = (chats, slow, unique, shared, agents)
    for kind in kinds:
        for t, blocks in kind(rng):
            if t < 2 * HOUR:
                yield t, [f"{kind.__name__}:{block}" for block in blocks]


KINDS: tuple[Kind, ...] = (
    chats,
    slow_chats,
    shared,
    agents,
    bursts,
    slow,
    unique,
    documents,
    abandoned,
    rediscovered,
    tools,
    day_and_night,
    drifting,
    long_tail,
    mixture,
)
