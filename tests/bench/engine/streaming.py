"""What a token's way through Stepwell costs: `python -m tests.bench.engine.streaming`.

A two-layer Llama on the CPU decodes at a pace of 20 ms a token, so that its speed is no part of the
figures. Bare vLLM, Ray's own OpenAI app and Stepwell serve it one after another.
"""

import argparse
import asyncio
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.engine.servers import CHAT, WAYS, Way, body, serving
from tests.bench.gateway import client
from tests.engine.models import make_llama

STEP_S = 0.02
PROMPT = "Where is my order? It was to arrive on Monday, and the card was charged twice."


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians in milliseconds; tokens of all streams together."""

    ttft_ms: float
    tokens_per_s: float
    streams: int
    errors: int


def tier(model: Path) -> dict[str, Any]:
    return {
        "name": "local",
        "model": "tiny",
        "context_tokens": 1_024,
        "price": {"kind": "tokens", "input_per_mtok": 0.1, "output_per_mtok": 0.4},
        "backend": {
            "engine": "vllm",
            "source": str(model),
            "accelerator": "cpu",
            "cpus": 1,
            "dtype": "float32",
            "cpu_kv_cache_gib": 0.25,
            "max_num_seqs": 64,
            "engine_args": {
                "enforce_eager": True,
                "async_scheduling": False,
                "scheduler_cls": "tests.bench.engine.paced.PacedScheduler",
            },
            "environment": {
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "OMP_NUM_THREADS": "1",
                "STEPWELL_BENCH_STEP_S": str(STEP_S),
            },
        },
    }


async def measure(port: int, model: str, streams: int, options: argparse.Namespace) -> Figures:
    asked = [body(model, f"{PROMPT} ({n})", options.tokens) for n in range(64)]
    await client.load(port, CHAT, asked, clients=streams, seconds=2, stream=True)
    found = await client.load(
        port, CHAT, asked, clients=streams, seconds=options.seconds, stream=True
    )
    return Figures(
        statistics.median(found.waits_ms) if found.waits_ms else float("nan"),
        found.tokens / found.seconds,
        len(found.waits_ms),
        found.errors,
    )


async def bench(options: argparse.Namespace) -> dict[tuple[Way, int], Figures]:
    found: dict[tuple[Way, int], Figures] = {}
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as name:
        folder = Path(name)
        wanted = tier(make_llama(folder / "model"))
        for way in options.ways:
            async with serving(way, wanted, folder / way, {}, ready_s=options.ready) as served:
                for streams in options.streams:
                    found[way, streams] = await measure(served.port, served.model, streams, options)
    return found


def show(found: dict[tuple[Way, int], Figures], console: Console) -> None:
    table = Table("server", "streams", "TTFT p50 ms", "over Ray's ms", "tokens/s", "of Ray's")
    for (way, streams), figures in found.items():
        ray = found.get(("ray", streams))
        added = "" if ray is None else f"{figures.ttft_ms - ray.ttft_ms:+.1f}"
        share = "" if ray is None else f"{figures.tokens_per_s / ray.tokens_per_s:.1%}"
        label = f"{way} ({figures.errors} errors)" if figures.errors else way
        row = (f"{figures.ttft_ms:.1f}", added, f"{figures.tokens_per_s:.0f}", share)
        table.add_row(label, str(streams), *row)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each cell")
    parser.add_argument("--tokens", type=int, default=32, help="of each stream")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--ready", type=float, default=300.0, help="seconds a server may start")
    show(asyncio.run(bench(parser.parse_args())), Console())


if __name__ == "__main__":
    main()
