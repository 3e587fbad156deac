"""`stepwell batch run --webhook` against a whole stack that may tell a receiver on this host."""

import http.server
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.webhooks import BatchCompletedWebhookEvent
from typer.testing import CliRunner

from deploy.cli.main import app
from serving.errors import ConfigError
from tests.e2e.configs import ladder
from tests.e2e.stack import running
from tests.serving.batch.webhooks.receiver import SECRET

Got = tuple[dict[str, str], bytes]


@contextmanager
def receiving() -> Iterator[tuple[int, "queue.Queue[Got]"]]:
    """The port, and what arrives there."""
    arrived: queue.Queue[Got] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.put((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1], arrived
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def config(port: int) -> dict[str, Any]:
    hosts = [{"host": "127.0.0.1", "port": port, "private": True}]
    webhooks = {"enabled": True, "hosts": hosts, "secret_env": "SIGNING"}
    return ladder(batch={"enabled": True, "poll_s": 0.05, "webhooks": webhooks})


def test_the_end_of_a_batch_is_told_and_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNING", SECRET)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": "What is 1 + 4?"}) + "\n", "utf-8")
    with receiving() as (port, arrived), running(config(port), tmp_path) as stack:
        given = ["batch", "run", str(source), "-o", str(out), "--url", stack.url]
        hook = f"http://127.0.0.1:{port}/hook"
        done = CliRunner().invoke(app, [*given, "--webhook", hook])
        assert done.exit_code == 0, done.output
        headers, body = arrived.get(timeout=30)
        client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
        event = client.webhooks.unwrap(body, headers)
        assert isinstance(event, BatchCompletedWebhookEvent)
        assert f"{event.data.id}: begun" in done.stderr
        other = CliRunner().invoke(app, [*given, "--webhook", "https://example.org/hook"])
        assert other.exit_code == 1
        assert "not on this server's list of hosts" in other.stderr


def test_without_its_secret_the_server_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGNING", raising=False)
    with (
        pytest.raises(ConfigError, match=r"batch\.webhooks\.secret_env: SIGNING is not set"),
        running(config(9), tmp_path),
    ):
        pass
