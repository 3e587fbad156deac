"""`stepwell batch run` when servers go, connections break and somebody presses Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.batch.server import NoAnswer, Server
from deploy.cli.main import app
from tests.deploy.cli.batch.relay import Relay, relaying
from tests.e2e.configs import ladder, mock_tier
from tests.e2e.stack import Stack, running

BATCH: dict[str, Any] = {"enabled": True, "poll_s": 0.05, "max_file_bytes": 200_000}
SLOW = mock_tier("slow", time_scale=1, ttft_ms=60_000)


def config() -> dict[str, Any]:
    """Its tier `slow` takes a minute for each answer."""
    task = {"name": "default", "gate": "off", "start": "small"}
    return ladder(batch=BATCH, tiers=[SLOW, *ladder()["tiers"]], default_task=task)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(config(), tmp_path_factory.mktemp("stack")) as stack:
        yield stack


def port(stack: Stack) -> int:
    return int(stack.url.rpartition(":")[2])


def stepwell(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


def texts(path: Path, number: int, **more: Any) -> Path:
    lines = ({"custom_id": str(n), "text": f"What is {n} + 4?", **more} for n in range(number))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def ids(path: Path) -> list[str]:
    return [json.loads(one)["custom_id"] for one in path.read_text("utf-8").splitlines()]


def begun(relay: Relay, what: str) -> int:
    return sum(head.startswith(what) for head in relay.heads)


def test_whatever_breaks_once_there_is_one_batch_and_all_results(
    served: Stack, tmp_path: Path
) -> None:
    source, out = texts(tmp_path / "in.jsonl", 200), tmp_path / "out.jsonl"
    with relaying(port(served)) as relay, served.client() as client:
        before = len(list(client.batches.list()))
        relay.cuts = [
            ("POST /v1/files", 0),
            ("POST /v1/batches", 0),  # it was begun, and the answer was lost
            ("GET /v1/batches/", 20),
            ("GET /v1/files/", 30_000),
        ]
        done = stepwell("run", source, "-o", out, "--url", relay.url)
        assert done.exit_code == 0, done.output
        assert relay.cuts == []
        assert ids(out) == [str(n) for n in range(200)]
        assert len(list(client.batches.list())) == before + 1
        assert begun(relay, "POST /v1/batches") == 1
        assert begun(relay, "POST /v1/files") == 2
    assert done.stderr.count("asking again") >= 4


def test_it_waits_through_a_restart_of_the_server(tmp_path: Path) -> None:
    source, out = texts(tmp_path / "in.jsonl", 30), tmp_path / "out.jsonl"
    results: list[Result] = []
    with relaying() as relay:
        call = threading.Thread(
            target=lambda: results.append(stepwell("run", source, "-o", out, "--url", relay.url))
        )
        with running({**config(), "batch": {**BATCH, "worker": False}}, tmp_path) as stack:
            relay.target = port(stack)
            call.start()
            _until(lambda: begun(relay, "GET /v1/batches/batch_") >= 2)
            relay.target = None
        asked = len(relay.heads)
        _until(lambda: len(relay.heads) >= asked + 2)
        with running(config(), tmp_path) as stack:
            relay.target = port(stack)
            call.join(60)
            assert not call.is_alive()
    assert results[0].exit_code == 0, results[0].output
    assert ids(out) == [str(n) for n in range(30)]


def test_a_server_that_stays_away_is_given_up() -> None:
    told: list[str] = []
    with relaying() as relay, Server(relay.url, None, patience_s=0.4, tell=told.append) as server:
        with pytest.raises(NoAnswer, match="has not answered for long"):
            server.retrieve("batch_1")
        assert begun(relay, "GET") == 1
    assert told == []


def test_ctrl_c_leaves_the_batch_running_and_says_how_to_come_back(
    served: Stack, tmp_path: Path
) -> None:
    source = texts(tmp_path / "in.jsonl", 2, messages=[{"role": "user", "content": "Hi"}])
    source.write_text(source.read_text("utf-8").replace('"text"', '"model": "slow", "text"'))
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "deploy.cli", "batch", "run", str(source), "-o", str(out)]
    process = subprocess.Popen(
        [*command, "--url", served.url],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if "in progress" in line:
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 130, seen + rest
    assert "Traceback" not in rest
    batch_id = seen.partition(": begun")[0].split()[-1]
    assert f"stepwell batch run --resume {batch_id} -o {out} --url {served.url}\n" in rest
    assert f"stepwell batch status {batch_id} --url {served.url}\n" in rest
    assert not out.exists()
    with served.client() as client:
        assert client.batches.retrieve(batch_id).status == "in_progress"
        client.batches.cancel(batch_id)
    done = stepwell("run", "--resume", batch_id, "-o", out, "--url", served.url)
    assert done.exit_code == 1, done.output
    assert ids(out) == ["0", "1"]
    assert f"{batch_id}: cancelled" in done.stdout


def test_a_file_beyond_the_server_s_limit_is_refused_at_once(served: Stack, tmp_path: Path) -> None:
    source, out = texts(tmp_path / "in.jsonl", 40_000), tmp_path / "out.jsonl"
    done = stepwell("run", source, "-o", out, "--url", served.url)
    assert done.exit_code == 1, done.output
    assert "A file may have 200,000 bytes" in done.stderr


def test_a_wrong_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving.settings.key_hash import digest

    right = "sw-test-0123456789-abcdefghijklmnopqrstuvwx"
    keys = [{"id": "k", "tenant": "t", "hash": digest(right)}]
    monkeypatch.setenv("MY_KEY", right.replace("x", "y"))
    with running({**config(), "keys": keys}, tmp_path) as stack:
        done = stepwell("status", "--url", stack.url, "--api-key-env", "MY_KEY")
        assert done.exit_code == 1
        assert "--api-key-env" in done.stderr
        monkeypatch.setenv("MY_KEY", right)
        done = stepwell("status", "--url", stack.url, "--api-key-env", "MY_KEY")
        assert done.exit_code == 0
        assert "There are no batches." in done.stdout
        with stack.client(right) as client, pytest.raises(openai.NotFoundError):
            client.batches.retrieve("batch_1")


def _until(holds: Any) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)
