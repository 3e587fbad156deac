"""What the embedder costs: time per question and per batch, start, memory.

    python -m tests.bench.cache.embedding [--runs 500] [--json]

On one core, each arithmetic in a process of its own. Questions are of 12 tokens, special ones
included, and of 12 without them. `memory_mb`: what the process holds more than before it loaded
anything of the embedder, and what of that no other process shares.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

WARM_UP = 50
BATCH = 32
QUESTIONS = {
    "12_tokens": "how do i reset the pin of my new card",
    "14_tokens": "how do i reset the pin of my new card at home",
}
ARITHMETICS = ("int8", "float32")


def measured(precision: str, runs: int) -> dict[str, Any]:
    """In this process, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    before = _memory()
    began = time.perf_counter()
    from cache.embedder.base import Model
    from cache.embedder.batched import BatchedEmbedder
    from cache.embedder.checkpoint import read_checkpoint
    from cache.embedder.find import DEFAULT, fetch_default, find_model
    from cache.embedder.onnx_model import OnnxModel
    from cache.embedder.runtime import Precision, integers_pay

    checkpoint = read_checkpoint(find_model(DEFAULT) or fetch_default())
    assert checkpoint is not None
    chosen: Precision = "int8" if precision == "int8" else "float32"
    pays = integers_pay()
    model: Model = OnnxModel(DEFAULT, checkpoint, precision=chosen)
    start_s = time.perf_counter() - began
    found: dict[str, Any] = {"arithmetic": precision, "used_by_itself": pays == (chosen == "int8")}
    for name, text in QUESTIONS.items():
        tokens = model.encode([text]).tokens[0]
        assert name == f"{tokens}_tokens", tokens
        found[f"{name}_ms"] = _percentiles(lambda text=text: model.encode([text]), runs)  # type: ignore[misc]  # it can't infer a lambda with a default
    texts = [f"{QUESTIONS['12_tokens']} {n}" for n in range(BATCH)]
    found["batch_of_32_ms"] = _percentiles(lambda: model.encode(texts), runs // 10)
    found["cold_start_s"] = round(start_s, 2)
    after = _memory()
    found["memory_mb"] = {k: round((after[k] - before[k]) / 1e6) for k in after}
    found["batched_12_tokens_ms"] = asyncio.run(_through(BatchedEmbedder(model), runs))
    return found


async def _through(embedder: Any, runs: int) -> dict[str, float]:
    """With the way through the queue and the thread, as a lookup pays it."""
    took: list[float] = []
    for _ in range(WARM_UP + runs):
        began = time.perf_counter()
        await embedder.embed([QUESTIONS["12_tokens"]])
        took.append(time.perf_counter() - began)
    await embedder.close()
    return _figures(took[WARM_UP:])


def _percentiles(run: Callable[[], object], runs: int) -> dict[str, float]:
    took: list[float] = []
    for _ in range(WARM_UP if runs > WARM_UP else 3):
        run()
    for _ in range(runs):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return _figures(took)


def _figures(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    parts = {"min": min(seconds), "p50": cuts[49], "p95": cuts[94]}
    return {name: round(1_000 * value, 3) for name, value in parts.items()}


def _memory() -> dict[str, int]:
    full = psutil.Process().memory_full_info()
    return {"resident": full.rss, "own": full.uss}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=ARITHMETICS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one, asked.runs)))  # noqa: T201 - the report
        return
    found = []
    for precision in ARITHMETICS:
        command = [sys.executable, "-m", "tests.bench.cache.embedding", "--one", precision]
        command += ["--runs", str(asked.runs)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    for one in found:
        if asked.json:
            print(json.dumps(one))  # noqa: T201 - the report
            continue
        for name, value in one.items():
            print(f"{name:24} {value}")  # noqa: T201 - the report
        print()  # noqa: T201 - the report


if __name__ == "__main__":
    main()
