"""The gateways that are measured, each behind the same few methods."""

import json
import os
import sqlite3
import subprocess
import sys
import venv
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.gateway import canned
from tests.bench.gateway.processes import NotReady, Process, free_port
from tests.bench.gateway.rows import Row

CHAT = "/v1/chat/completions"
LITELLM = "1.100.0"
KEY_ENV = "STEPWELL_BENCH_KEY"
GATEWAYS = {"stepwell-inline": 1, "stepwell-ray": 1, "stepwell-ray-2": 2}
# Of HAProxy's own pages, fixed unless they are set; two on one machine would collide.
KNOWN = (*GATEWAYS, "litellm")


class Contender(ABC):
    """A gateway: started once, then measured row by row."""

    def __init__(self, name: str, folder: Path, upstream: int) -> None:
        self.name, self._upstream = name, upstream
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self._processes: list[Process] = []

    @abstractmethod
    async def start(self) -> None:
        """Returns once it answers. `NotReady` where it does not."""

    @abstractmethod
    def port(self, row: Row) -> int: ...

    @abstractmethod
    def bodies(self, row: Row) -> list[bytes]: ...

    @abstractmethod
    def calls_upstream(self, row: Row) -> bool: ...

    async def stop(self) -> None:
        for process in self._processes:
            await process.stop()

    def ledger_rows(self) -> int | None:
        """After `stop`: the attempts and hits that its ledger holds; None where it has none."""
        return None

    async def _run(self, command: list[str | Path], name: str, env: Mapping[str, str]) -> Process:
        process = Process(command, self._folder / f"{name}.log", env)
        self._processes.append(process)
        return process

    def _write(self, name: str, config: Mapping[str, Any]) -> Path:
        """JSON is YAML."""
        path = self._folder / name
        path.write_text(json.dumps(config, indent=1), "utf-8")
        return path


class Stepwell(Contender):
    """`stepwell serve`: a mock tier before a Claude tier, ledger on, no keys."""

    def __init__(self, name: str, folder: Path, upstream: int) -> None:
        super().__init__(name, folder, upstream)
        self._port = free_port()

    async def start(self) -> None:
        config = self._write("config.yaml", self._config())
        stepwell = Path(sys.executable).with_name("stepwell")
        env = {KEY_ENV: "bench", "STEPWELL_DATA_DIR": str(self._folder)}
        process = await self._run([stepwell, "serve", config], "serve", env)
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hello?"}]})
        await process.ready(self._port, CHAT, body.encode())

    def port(self, row: Row) -> int:
        return self._port

    def bodies(self, row: Row) -> list[bytes]:
        return row.bodies(row.stepwell)

    def calls_upstream(self, row: Row) -> bool:
        return row.upstream[0] == "called"

    def ledger_rows(self) -> int | None:
        with sqlite3.connect(self._folder / "stepwell.db") as connection:
            found = connection.execute("SELECT count(*) FROM attempts WHERE outcome != 'intent'")
            return int(found.fetchone()[0])

    def _config(self) -> dict[str, Any]:
        """The mock tier's gate judges every answer and lets it pass, so that a request is one
        attempt.
        """
        gate = {"min_mean": -20.0, "min_window": -50.0, "commit_mean": -20.0, "abort_mean": -50.0}
        mock = {"engine": "mock", "ability": 6.0, "time_scale": 0}
        claude = {
            "engine": "anthropic",
            "base_url": f"http://127.0.0.1:{self._upstream}",
            "api_key_env": KEY_ENV,
        }
        price = {"kind": "gpu", "gpu_hour": "2.50"}
        price |= {"prefill_tokens_per_s": "9000", "decode_tokens_per_s": "2500"}
        runtime: dict[str, Any] = {"runtime": "inline"}
        if "ray" in self.name:
            runtime = {"runtime": "ray", "ray": {"gateways": GATEWAYS[self.name]}}
        return {
            **runtime,
            "server": {"host": "127.0.0.1", "port": self._port},
            "tiers": [
                {"name": "mock", "model": "mock-7b", "backend": mock, "gate": gate, "price": price},
                {"name": "hosted", "model": canned.MODEL, "backend": claude},
            ],
            "tasks": [{"name": "cached", "cache": {"enabled": True}}],
        }


class LiteLLM(Contender):
    """The LiteLLM proxy, one worker, spend tracking as it is without a database. Its cache is a
    setting of the whole proxy, so the hit row has a proxy of its own.
    """

    def __init__(self, name: str, folder: Path, upstream: int) -> None:
        super().__init__(name, folder, upstream)
        self._plain, self._cached = free_port(), free_port()

    async def start(self) -> None:
        binary = litellm_binary()
        env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        env |= {"LITELLM_MODE": "PRODUCTION", "LITELLM_TELEMETRY": "False"}
        started: list[tuple[Process, int]] = []
        for label, port in (("plain", self._plain), ("cached", self._cached)):
            config = self._write(f"{label}.yaml", self._config(cached=label == "cached"))
            command: list[str | Path] = [binary, "--config", config, "--num_workers", "1"]
            command += ["--host", "127.0.0.1", "--port", str(port)]
            process = await self._run(command, label, env)
            started.append((process, port))
        body = {"model": "hosted", "messages": [{"role": "user", "content": "Hello?"}]}
        for process, port in started:
            await process.ready(port, CHAT, json.dumps(body).encode())

    def port(self, row: Row) -> int:
        return self._cached if row.cached else self._plain

    def bodies(self, row: Row) -> list[bytes]:
        return row.bodies(row.litellm)

    def calls_upstream(self, row: Row) -> bool:
        return row.upstream[1] == "called"

    def _config(self, *, cached: bool) -> dict[str, Any]:
        base = f"http://127.0.0.1:{self._upstream}"
        params: dict[str, dict[str, Any]] = {
            "upstream": {"model": "openai/trivial", "api_base": f"{base}/v1"},
            "hosted": {"model": f"anthropic/{canned.MODEL}", "api_base": base},
            "canned": {"model": "openai/trivial", "mock_response": canned.ANSWER},
        }
        models = [
            {"model_name": name, "litellm_params": {**found, "api_key": "bench"}}
            for name, found in params.items()
        ]
        settings = {"cache": True, "cache_params": {"type": "local"}} if cached else {}
        return {"model_list": models, "litellm_settings": settings}


def litellm_binary() -> Path:
    """The proxy in its own virtual environment, made on the first call. `NotReady` where it can't
    be installed.
    """
    cache = os.environ.get("STEPWELL_BENCH_DIR") or "~/.cache/stepwell-bench"
    folder = Path(cache).expanduser() / f"litellm-{LITELLM}"
    binary = folder / "bin" / "litellm"
    if not binary.exists():
        venv.create(folder, with_pip=True)
        wanted = f"litellm[proxy]=={LITELLM}"
        python = str(folder / "bin" / "python")
        command = [python, "-m", "pip", "install", "--quiet", wanted]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotReady(f"pip install '{wanted}' failed:\n{done.stderr[-1_000:]}")
    return binary


def contender(name: str, folder: Path, upstream: int) -> Contender:
    """One of `KNOWN`."""
    kind = LiteLLM if name == "litellm" else Stepwell
    return kind(name, folder, upstream)
