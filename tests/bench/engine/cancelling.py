"""How soon streams that clients leave free their places in the engine:
`python -m tests.bench.engine.cancelling`.

Each stream decodes at 20 tokens a second, so that two cores carry a hundred of them. The engine's
own count is read from `/metrics`, so each time is an upper bound: it ends with the scrape that
shows the places free.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import openai
from rich.console import Console

from tests.bench.engine.servers import serving
from tests.bench.engine.streaming import tier
from tests.engine.models import make_llama

STREAMS, LEAVING, ROUNDS = 100, 50, 10
STEP_ENV, STEP_S = "STEPWELL_BENCH_STEP_S", 0.05
ASK: list[Any] = [{"role": "user", "content": "Where is my order?"}]
RUNNING = 'stepwell_engine_requests{state="running"'


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as name:
        folder = Path(name)
        wanted = tier(make_llama(folder / "model"))
        wanted["backend"] |= {"max_num_seqs": 128}
        wanted["backend"]["environment"] |= {STEP_ENV: str(STEP_S)}
        async with serving("stepwell", wanted, folder, {}, ready_s=300) as served:
            found = [await _round(served.port, served.model) for _ in range(ROUNDS)]
    worst = max(found)
    Console().print(
        f"{LEAVING} of {STREAMS} streams left, {ROUNDS} times: their places were free after "
        f"{statistics.median(found):.2f} s (median), {worst:.2f} s (longest)",
        soft_wrap=True,
    )


async def _round(port: int, model: str) -> float:
    url = f"http://127.0.0.1:{port}"
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", timeout=120) as client:
        streams = await asyncio.gather(*(_endless(client, model) for _ in range(STREAMS)))
        await asyncio.gather(*(anext(s) for s in streams))
        began = time.perf_counter()
        await asyncio.gather(*(s.close() for s in streams[:LEAVING]))
        await _until(url, STREAMS - LEAVING)
        took = time.perf_counter() - began
        await asyncio.gather(*(s.close() for s in streams[LEAVING:]))
        await _until(url, 0)
    return took


async def _endless(client: openai.AsyncOpenAI, model: str) -> Any:
    return await client.chat.completions.create(
        model=model,
        messages=ASK,
        max_tokens=900,
        stream=True,
        extra_body={"ignore_eos": True},
    )


async def _until(url: str, count: int) -> None:
    async with httpx2.AsyncClient() as client:
        while True:
            scrape = (await client.get(f"{url}/metrics")).text.splitlines()
            if sum(float(x.rsplit(" ", 1)[1]) for x in scrape if x.startswith(RUNNING)) <= count:
                return


if __name__ == "__main__":
    asyncio.run(main())
