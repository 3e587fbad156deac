"""A key is used and never told: not in logs, metrics, traces, errors, the database or `check`,
whatever happens to a call and whatever a server says.
"""

import itertools
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from ruamel.yaml import YAML
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.ports import claim
from serving.settings.secrets import TELLING_CHARS
from tests.serving.engines.openai_compatible.fake import answer, counted, piece
from tests.serving.hosted.scripted_api import message, streamed

TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
}  # fmt: skip
ENDS = ["good", *map(str, TYPES), "garbage", "html", "midstream", "redirect"]


class Indiscreet:
    """A server of both APIs that puts the key it was sent into everything it says. The end of the
    user's text names how it answers.
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        key = request.headers["authorization"].removeprefix("Bearer ")
        self.keys.add(key)
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[-1]["text"]
        kind, claude = text.split()[-1], request.url.path.endswith("/messages")
        said = f"You sent {key}, that is Bearer {key[:20]}...{key[-12:]}"
        if kind == "good":
            return _good(claude=claude, stream=bool(body.get("stream")))
        if kind == "midstream":
            return _broken(said, claude=claude)
        if kind == "redirect":
            return Response(status_code=307, headers={"location": f"/{key}"})
        if kind in {"garbage", "html"}:
            media = "application/json" if kind == "garbage" else "text/html"
            return Response(f"<p>{said}", media_type=media, headers={"x-key": key})
        error = {"type": TYPES[int(kind)], "message": said, "param": key, "code": None}
        return JSONResponse({"type": "error", "error": error}, int(kind), {"x-key": key})


def _good(*, claude: bool, stream: bool) -> Response:
    if not stream:
        return JSONResponse(message() if claude else answer("Yes."))
    if claude:
        return Response(streamed(message()), media_type="text/event-stream")
    events = [piece(role="assistant", content="Yes."), piece(finish="stop"), counted()]
    text = "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
    return Response(text, media_type="text/event-stream")


def _broken(said: str, *, claude: bool) -> Response:
    error = {"type": "error", "error": {"type": "api_error", "message": said}}
    if claude:
        begun = streamed(message()).split(b"event: message_delta")[0].decode()
        text = f"{begun}event: error\ndata: {json.dumps(error)}\n\n"
    else:
        begun = f"data: {json.dumps(piece(role='assistant', content='Yes'))}\n\n"
        text = f"{begun}data: {json.dumps(error)}\n\n"
    return Response(text, media_type="text/event-stream")


@contextmanager
def indiscreet() -> Iterator[tuple[Indiscreet, str]]:
    server_of_all = Indiscreet()
    app = Starlette(
        routes=[
            Route("/v1/messages", server_of_all.answer, methods=["POST"]),
            Route("/v1/chat/completions", server_of_all.answer, methods=["POST"]),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield server_of_all, f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def stepwell(*arguments: str, env: dict[str, str]) -> str:
    """What a command says, on both of its outputs."""
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@contextmanager
def serving(config: Path, env: dict[str, str], log: Path) -> Iterator[str]:
    port = claim("127.0.0.1", 0, hint="")
    command = [sys.executable, "-m", "deploy.cli", "serve", str(config), "--port", str(port)]
    with log.open("wb") as output, subprocess.Popen(
        command, env=env, stdout=output, stderr=output
    ) as process:  # fmt: skip
        try:
            url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
            while not _ready(url):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until
                time.sleep(0.05)
            yield url
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        finally:
            process.kill()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5):
            return True
    except OSError:
        return False


def tiers(upstream: str, key_file: Path) -> list[dict[str, Any]]:
    price = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 1}
    claude = {"engine": "anthropic", "base_url": upstream, "api_key_env": "CLAUDE_KEY"}
    other = {"engine": "openai", "base_url": f"{upstream}/v1", "api_key_file": str(key_file)}
    # Nothing is paused or given up, so that every call is made.
    limits = {"breaker": None, "adaptive": False}
    both = {"retries": 0, "deadline_s": 10, "limits": limits}
    return [
        {"name": "other", "model": "m", "backend": other, "price": price, **both},
        {"name": "claude", "model": "claude-opus-5-5", "backend": claude, **both},
    ]


def everything_it_does(url: str) -> str:
    """All that a client gets to see while calls end in every way."""
    with httpx2.Client(base_url=url, timeout=30) as client:
        every = itertools.product(("claude", "other"), ENDS, (False, True))
        seen = [_ask(client, tier, end, stream=stream) for tier, end, stream in every]
        seen += [client.get(path).text for path in ("/metrics", "/v1/models", "/ready")]
    return "\n".join(seen)


def _ask(client: httpx2.Client, tier: str, end: str, *, stream: bool) -> str:
    messages = [{"role": "user", "content": f"Please end: {end}"}]
    explain = {"stepwell": {"explain": True}, "stream": stream}
    reply = client.post(
        "/v1/chat/completions", json={"model": tier, "messages": messages, **explain}
    )
    if end != "midstream":  # which may be noticed before anything was sent
        assert (reply.status_code == 200) == (end == "good")
    return f"{reply.headers}\n{reply.text}"


def told(text: str, key: str) -> list[str]:
    """The parts of the key, behind its public beginning, that stand in the text."""
    own = key.rsplit("-", 1)[-1]
    parts = (own[i : i + TELLING_CHARS] for i in range(len(own) - TELLING_CHARS + 1))
    return [part for part in parts if part in text]


def lines_with(text: str, parts: list[str]) -> list[str]:
    return [line for line in text.splitlines() if any(part in line for part in parts)]


def test_what_is_searched_for_would_be_found() -> None:
    assert told("x 0123456789abcdef", "sk-ant-0123456789abcdef")
    assert not told("sk-ant-api03-", "sk-ant-api03-0123456789abcdef")


def test_no_part_of_a_key_is_told(tmp_path: Path) -> None:
    claude_key = f"sk-ant-api03-{secrets.token_hex(40)}"
    other_key = f"sk-proj-{secrets.token_hex(40)}"
    key_file = tmp_path / "key"
    key_file.write_text(f"{other_key}\n")
    env = {**os.environ, "CLAUDE_KEY": claude_key}
    wordy = {**env, "ANTHROPIC_LOG": "debug", "OPENAI_LOG": "debug"}
    config, log = tmp_path / "stepwell.yaml", tmp_path / "log"
    with indiscreet() as (upstream, address):
        storage = {"url": f"sqlite:///{tmp_path / 'stepwell.db'}", "flush_interval_s": 0.05}
        settings = {
            "tiers": tiers(address, key_file),
            "default_task": {"name": "default", "gate": "off"},
            "storage": storage,
            "log": {"level": "debug"},
        }
        YAML(typ="safe").dump(settings, config)
        with serving(config, wordy, log) as url:
            shown = everything_it_does(url)
        assert upstream.keys == {claude_key, other_key}  # both were used
    with closing(sqlite3.connect(tmp_path / "stepwell.db")) as database:
        dump = "\n".join(database.iterdump())
    assert dump.count("INSERT INTO") > 2 * len(ENDS)
    logged = log.read_text()
    assert logged.count("tier_failed") > len(ENDS)
    checked = stepwell("check", str(config), env=wordy)
    checked += stepwell("check", str(config), "--json", env=wordy)
    checked += stepwell("report", str(config), env=wordy)
    places = {"answers": shown, "log": logged, "database": dump, "commands": checked}
    for key in (claude_key, other_key):
        for where, what in places.items():
            assert (where, lines_with(what, told(what, key))) == (where, [])
    assert "Please end" not in logged + dump + checked  # nor is a prompt


def test_a_key_that_cannot_be_used_is_not_told_either(tmp_path: Path) -> None:
    key = f"sk-ant-api03-{secrets.token_hex(40)}"
    key_file = tmp_path / "key"
    key_file.write_text("sk-other")
    config = tmp_path / "stepwell.yaml"
    YAML(typ="safe").dump({"tiers": tiers("http://127.0.0.1:9", key_file)}, config)
    env = {**os.environ, "CLAUDE_KEY": f"{key}\n{key}"}
    said = stepwell("check", str(config), env=env)
    said += stepwell("serve", str(config), "--port", "0", env=env)
    assert said.count("no HTTP header can carry") == 2
    assert told(said, key) == []
