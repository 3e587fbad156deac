"""The same model served three ways: bare vLLM, Ray's own app, Stepwell. Each is a process of its
own on a free port, and is measured alone.
"""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.bench.gateway.processes import Process, free_port

ROOT = Path(__file__).resolve().parents[3]
CHAT = "/v1/chat/completions"
Way = Literal["vllm", "ray", "stepwell"]
WAYS: tuple[Way, ...] = ("vllm", "ray", "stepwell")


@dataclass(frozen=True, slots=True)
class Served:
    """`model` is the name by which the server knows it."""

    port: int
    model: str


@asynccontextmanager
async def serving(
    way: Way, tier: Mapping[str, Any], folder: Path, env: Mapping[str, str], *, ready_s: float
) -> AsyncIterator[Served]:
    """`tier` as Stepwell's configuration has it; the other two get what follows from it."""
    port = free_port()
    path = _config(tier, folder, port)
    served = Served(port, tier["name"] if way == "stepwell" else tier["model"])
    env = {"PYTHONPATH": str(ROOT), "STEPWELL_DATA_DIR": str(folder), **env}
    process = Process(_command(way, path, port), folder / f"{way}.log", env)
    try:
        await process.ready(port, CHAT, body(served.model, "Hello?", 2), within_s=ready_s)
        yield served
    finally:
        await process.stop()


def _config(tier: Mapping[str, Any], folder: Path, port: int) -> Path:
    """JSON is YAML."""
    config = {
        "runtime": "ray",
        "server": {"port": port},
        "log": {"level": "warning"},
        "default_task": {"name": "default", "gate": "off"},
        "tiers": [tier],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(json.dumps(config), "utf-8")
    return path


def body(model: str, prompt: str, tokens: int, **more: Any) -> bytes:
    """A streamed request for exactly `tokens` tokens."""
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **more,
    }
    return json.dumps(asked).encode()


def _command(way: Way, config: Path, port: int) -> list[str | Path]:
    python = sys.executable
    match way:
        case "stepwell":
            return [python, "-m", "deploy.cli", "serve", config]
        case "ray":
            return [python, "-m", "tests.bench.engine.ray_app", config, "--port", str(port)]
        case "vllm":
            return [python, "-m", "tests.bench.engine.bare", config, "--port", str(port)]
