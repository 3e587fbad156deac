"""Interleaved runs, and what they come to."""

import asyncio
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.gateway import client
from tests.bench.gateway.contenders import CHAT, Contender
from tests.bench.gateway.processes import NotReady
from tests.bench.gateway.rows import Row

SCRIPT = Path(__file__).with_name("wrk.lua")
WARM_UP_S = 0.3
SETTLE_S = 0.1
MAX_STRAY = 32


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one contender. `p50_ms` and `p99_ms` are of whole answers, for streams of the
    first token; `per_s` is answers, for streams tokens.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    answers: int
    errors: int


@dataclass(frozen=True, slots=True)
class Cell:
    """All runs of one contender in one row at one number of clients."""

    row: str
    clients: int
    contender: str
    samples: tuple[Sample, ...]

    def spread(self, of: Callable[[Sample], float]) -> tuple[float, float, float]:
        """Median, least and most over the runs."""
        values = [of(s) for s in self.samples]
        return statistics.median(values), min(values), max(values)

    @property
    def errors(self) -> int:
        return sum(s.errors for s in self.samples)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run: `seconds` per run."""

    clients: tuple[int, ...]
    runs: int
    seconds: float


def tool() -> str:
    return "wrk" if shutil.which("wrk") else "own client"


async def interleaved(
    row: Row, contenders: Sequence[Contender], plan: Plan, upstream: "Counter"
) -> list[Cell]:
    """A B A B …, so that a slow minute of the machine meets all of them alike. `NotReady` where a
    contender does not take the path that the row says.
    """
    for contender in contenders:
        await _warm_up(row, contender, upstream)
    cells: list[Cell] = []
    for clients in plan.clients:
        samples: dict[str, list[Sample]] = {c.name: [] for c in contenders}
        for _ in range(plan.runs):
            for contender in contenders:
                found = await _measured(row, contender, clients, plan.seconds, upstream)
                samples[contender.name].append(found)
        cells += [Cell(row.name, clients, name, tuple(s)) for name, s in samples.items()]
    return cells


class Counter:
    """How many answers the trivial upstream has given."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def settled(self) -> int:
        """Once it stands still: wrk leaves without its last answers, and a gateway that still
        works on them would be counted, and felt, in the next run.
        """
        count = await self.read()
        while True:
            await asyncio.sleep(SETTLE_S)
            before, count = count, await self.read()
            if before == count:
                return count

    async def read(self) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /count HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        count = await reader.readexactly(int(head.rpartition(b":")[2]))
        writer.close()
        return int(count)


async def _warm_up(row: Row, contender: Contender, upstream: Counter) -> None:
    """Every body once (so a cache holds them all), then a moment under load."""
    bodies = contender.bodies(row)
    port = contender.port(row)
    once = await client.load(
        port, CHAT, bodies, clients=1, seconds=0, stream=row.stream, at_least=len(bodies)
    )
    await asyncio.sleep(0.2)  # answers are cached behind the answer
    if once.errors or len(once.waits_ms) != len(bodies):
        why = f"{once.errors} errors while warming up: {once.first_error}"
        raise NotReady(f"{contender.name}, row {row.name}: {why}")
    await _measured(row, contender, 8, WARM_UP_S, upstream, own=True)


async def _measured(
    row: Row,
    contender: Contender,
    clients: int,
    seconds: float,
    upstream: Counter,
    *,
    own: bool = False,
) -> Sample:
    before = await upstream.settled()
    port, bodies = contender.port(row), contender.bodies(row)
    if row.stream or own or tool() != "wrk":
        sample = _sample(
            await client.load(
                port, CHAT, bodies, clients=clients, seconds=seconds, stream=row.stream
            ),
            stream=row.stream,
        )
    else:
        sample = await wrk(port, CHAT, bodies, clients=clients, seconds=round(seconds))
    called = await upstream.read() - before
    # No more than what was in flight when the run before this one ended may come late.
    least, most = (sample.answers, None) if contender.calls_upstream(row) else (0, MAX_STRAY)
    if called < least or (most is not None and called > most):
        raise NotReady(
            f"{contender.name}, row {row.name}: {called} calls of the upstream for "
            f"{sample.answers} answers"
        )
    return sample


async def wrk(
    port: int, path: str, bodies: Sequence[bytes], *, clients: int, seconds: int
) -> Sample:
    """One run of wrk, which counts whole seconds. `NotReady` where it fails."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(b"\n".join(bodies))
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *("wrk", "-t1", f"-c{clients}", f"-d{max(1, seconds)}s", "--timeout", "30s"),
            *("-s", str(SCRIPT), f"http://127.0.0.1:{port}{path}", "--", file.name),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
    lines = out.decode().strip().splitlines()
    if process.returncode or not lines:
        raise NotReady(f"wrk: {out.decode()[-500:]}")
    found = json.loads(lines[-1])
    per_s = found["requests"] / found["seconds"]
    return Sample(per_s, found["p50_ms"], found["p99_ms"], found["requests"], found["errors"])


def _sample(found: client.Load, *, stream: bool) -> Sample:
    if not found.waits_ms:
        raise NotReady(f"no answer in {found.seconds:.1f} s, {found.errors} errors")
    waits = sorted(found.waits_ms)
    per_s = (found.tokens if stream else len(waits)) / found.seconds
    p99 = waits[min(len(waits) - 1, round(0.99 * len(waits)))]
    return Sample(per_s, statistics.median(waits), p99, len(waits), found.errors)


def pairs(cells: Sequence[Cell]) -> Iterator[tuple[str, int, list[Cell]]]:
    """The cells of each row and number of clients, in their order."""
    keys = dict.fromkeys((c.row, c.clients) for c in cells)
    for row, clients in keys:
        yield row, clients, [c for c in cells if (c.row, c.clients) == (row, clients)]
