"""A whole stack in a thread of its own, for tests that speak HTTP to it."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import uvicorn
from ruamel.yaml import YAML

from deploy.inline import serve
from serving.settings.load import load_settings


@dataclass(frozen=True)
class Stack:
    """A running stack; `rows` reads its ledger once everything buffered has been flushed."""

    url: str
    database: Path

    def client(self, key: str = "unused", **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, **options)

    def async_client(self, key: str = "unused", **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, **options)

    def rows(self, sql: str, *values: object, wait: float = 0.3) -> list[dict[str, Any]]:
        time.sleep(wait)
        with sqlite3.connect(self.database) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]

    def attempts(self, request_id: str, wait: float = 0.3) -> list[dict[str, Any]]:
        """The ledger's rows of one request, in order."""
        query = "SELECT * FROM attempts WHERE request_id = ? ORDER BY created_at"
        return self.rows(query, request_id, wait=wait)


@contextmanager
def running(config: dict[str, Any], folder: Path, url: str | None = None) -> Iterator[Stack]:
    """The stack of `config`, its state under `folder` or at `url`, on a free loopback port."""
    database = folder / "stepwell.db"
    config = {**config, "server": {"port": 0, "drain_s": 2}, "log": {"level": "error"}}
    config["storage"] = {"url": url or f"sqlite:///{database}", "flush_interval_s": 0.05}
    path = folder / "stepwell.yaml"
    YAML(typ="safe").dump(config, path)
    settings = load_settings(path)
    up = threading.Event()
    found: list[tuple[uvicorn.Server, int]] = []
    failed: list[BaseException] = []

    def started(server: uvicorn.Server, port: int) -> None:
        found.append((server, port))
        up.set()

    def run() -> None:
        try:
            asyncio.run(serve(settings, started=started))
        except BaseException as error:
            failed.append(error)
        finally:
            up.set()

    # A stack that does not stop fails its test, and must not keep the whole run from its end.
    thread = threading.Thread(target=run, name="stack", daemon=True)
    thread.start()
    assert up.wait(60), "the stack did not start"
    if failed:
        raise failed[0]
    server, port = found[0]
    try:
        yield Stack(f"http://127.0.0.1:{port}", database)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the stack did not stop"
        if failed:
            raise failed[0]
