"""Bare vLLM against the same through Stepwell on a GPU: `python -m tests.bench.engine.gpu_serving`.

Models of real dimensions with random weights, so that nothing is downloaded; lengths as in the
Azure conversation trace where `STEPWELL_TEST_DATA` is set, else of its median. With `--logprobs`
every stream is asked for the logprobs that the confidence gate reads.
"""

import argparse
import asyncio
import gzip
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.cli.hardware import this_host
from tests.bench.engine.servers import CHAT, Way, body, serving
from tests.bench.engine.shaped import prompt, write_shaped
from tests.bench.gateway import client

MODELS = {"7b": ("Qwen2.5-7B", False), "70b-fp8": ("Llama-3.1-70B", True)}
CONTEXT = 8_192
REQUESTS = 256
MEDIAN = (928, 129)
"""Prompt and answer tokens at the trace's median, for machines without it."""
NO_GPU = "no GPU here: nvidia-smi finds none; nothing was measured"


@dataclass(frozen=True, slots=True)
class Cell:
    model: str
    way: Way
    streams: int
    logprobs: bool


def lengths() -> Iterator[tuple[int, int]]:
    """Prompt and answer tokens, bounded to the context, in the trace's own order."""
    folder = os.environ.get("STEPWELL_TEST_DATA")
    if folder is None:
        yield from [MEDIAN] * REQUESTS
        return
    with gzip.open(Path(folder) / "azure_conv_trace.jsonl.gz", "rt") as trace:
        for line, _ in zip(trace, range(REQUESTS), strict=False):
            row = json.loads(line)
            yield (
                min(row["prompt_tokens"], CONTEXT // 2),
                max(2, min(row["completion_tokens"], 512)),
            )


def tier(name: str, source: Path, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": "local",
        "model": name,
        "context_tokens": CONTEXT,
        "price": {"kind": "tokens", "input_per_mtok": 0.1, "output_per_mtok": 0.4},
        "output": {"max_tokens": CONTEXT},
        "deadline_s": 600,
        "backend": {
            "engine": "vllm",
            "source": str(source),
            "load_format": "dummy",
            "tensor_parallel": options.tensor_parallel,
            "max_num_seqs": 256,
            "gpu_memory_utilization": 0.92,
        },
    }


async def bench(options: argparse.Namespace) -> dict[Cell, client.Load]:
    found: dict[Cell, client.Load] = {}
    asked = list(lengths())
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as folder:
        for name in options.models:
            checkpoint, fp8 = MODELS[name]
            source = write_shaped(Path(folder, name), checkpoint, fp8=fp8)
            for way in options.ways:
                wanted = tier(name, source, options)
                state = Path(folder, f"{name}-{way}")
                async with serving(way, wanted, state, {}, ready_s=options.ready) as served:
                    for cell in _cells(name, way, options):
                        bodies = _bodies(served.model, asked, logprobs=cell.logprobs)
                        found[cell] = await _measure(served.port, bodies, cell, options)
    return found


def _cells(name: str, way: Way, options: argparse.Namespace) -> Iterator[Cell]:
    for logprobs in (False, True) if options.logprobs else (False,):
        for streams in options.streams:
            yield Cell(name, way, streams, logprobs)


def _bodies(model: str, asked: list[tuple[int, int]], *, logprobs: bool) -> list[bytes]:
    more = {"logprobs": True} if logprobs else {}
    return [
        body(model, prompt(words, seed), tokens, **more)
        for seed, (words, tokens) in enumerate(asked)
    ]


async def _measure(
    port: int, bodies: list[bytes], cell: Cell, options: argparse.Namespace
) -> client.Load:
    await client.load(port, CHAT, bodies, clients=cell.streams, seconds=5, stream=True)
    return await client.load(
        port, CHAT, bodies, clients=cell.streams, seconds=options.seconds, stream=True
    )


def show(found: dict[Cell, client.Load], console: Console) -> None:
    table = Table(
        *("model", "server", "streams", "logprobs", "tokens/s", "of bare", "TTFT p50 ms"),
        *("added ms", "ms a token, p50", "errors"),
    )
    for cell, load in found.items():
        bare = found.get(Cell(cell.model, "vllm", cell.streams, cell.logprobs))
        rate, ttft = load.tokens / load.seconds, _median(load.waits_ms)
        share = added = ""
        if bare is not None and bare is not load and bare.tokens:
            share = f"{rate / (bare.tokens / bare.seconds):.1%}"
            added = f"{ttft - _median(bare.waits_ms):+.1f}"
        table.add_row(
            *(cell.model, cell.way, str(cell.streams), "yes" if cell.logprobs else "no"),
            *(f"{rate:.0f}", share, f"{ttft:.1f}", added),
            *(f"{_median(load.token_ms):.2f}", str(load.errors)),
        )
    console.print(table)


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["7b"])
    parser.add_argument(
        "--ways", nargs="+", choices=["vllm", "stepwell"], default=["vllm", "stepwell"]
    )
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each cell")
    parser.add_argument("--logprobs", action="store_true", help="measure with logprobs, too")
    parser.add_argument("--tensor-parallel", type=int, default=1)
    parser.add_argument("--ready", type=float, default=600.0, help="seconds a server may start")
    options = parser.parse_args()
    console = Console()
    if not this_host().gpus:
        console.print(NO_GPU)
        return 0
    if find_spec("vllm") is None:
        console.print("vLLM is not in this environment: pip install 'stepwell[vllm]'")
        return 1
    show(asyncio.run(bench(options)), console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
