"""A billed call is never hedged: no second request for the same answer while one is under way, and
none at all after one that may have been billed and came too late.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.e2e.stack import running
from tests.serving.engines.openai_compatible.fake import answer
from tests.serving.hosted.scripted_api import message


@dataclass
class Counting:
    """Answers after `wait_s`, the first `failing` requests with a 500. `most` is the highest
    number of requests that it had at once.
    """

    wait_s: float = 0.0
    failing: int = 0
    came: int = 0
    running: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Response:
        """In a thread of its own, so that it goes on whoever leaves: the work is billed."""
        with self.lock:
            self.came += 1
            self.running += 1
            self.most = max(self.most, self.running)
            fails = self.came <= self.failing
        time.sleep(self.wait_s)
        with self.lock:
            self.running -= 1
        if fails:
            error = {"type": "api_error", "message": "no"}
            return JSONResponse({"type": "error", "error": error}, 500)
        claude = request.url.path.endswith("/messages")
        return JSONResponse(message() if claude else answer("Yes."))


@contextmanager
def serving(counting: Counting) -> Iterator[str]:
    paths = ("/v1/messages", "/v1/chat/completions")
    app = Starlette(routes=[Route(path, counting.answer, methods=["POST"]) for path in paths])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def tier(engine: str, url: str, deadline_s: float) -> dict[str, Any]:
    price = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 1}
    backend = {"engine": engine, "base_url": url if engine == "anthropic" else f"{url}/v1"}
    if engine == "anthropic":
        backend["api_key_env"] = "SOME_KEY"
    made = {"name": "billed", "model": "claude-opus-5-5", "backend": backend, "price": price}
    return {**made, "deadline_s": deadline_s, "retries": 3}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-1")


def ask(engine: str, counting: Counting, folder: Path, deadline_s: float = 20.0) -> int:
    """The status of one question to the whole stack."""
    with serving(counting) as url:
        config = {"tiers": [tier(engine, url, deadline_s)]}
        with running(config, folder) as stack, stack.client() as client:
            try:
                client.chat.completions.create(
                    model="auto", messages=[{"role": "user", "content": "Hi"}]
                )
            except openai.APIStatusError as error:
                return error.status_code
    return 200


engines = pytest.mark.parametrize("engine", ["anthropic", "openai"])


@engines
def test_a_slow_call_stays_the_only_one(engine: str, tmp_path: Path) -> None:
    counting = Counting(wait_s=1.0)
    assert ask(engine, counting, tmp_path) == 200
    assert (counting.came, counting.most) == (1, 1)


@engines
def test_a_call_that_came_too_late_is_not_made_again(engine: str, tmp_path: Path) -> None:
    counting = Counting(wait_s=2.0)
    assert ask(engine, counting, tmp_path, deadline_s=1.0) in {502, 504}
    assert (counting.came, counting.most) == (1, 1)


@engines
def test_a_call_that_failed_is_made_again_afterwards(engine: str, tmp_path: Path) -> None:
    """Not billed, so it may be; one after the other."""
    counting = Counting(wait_s=0.05, failing=2)
    assert ask(engine, counting, tmp_path) == 200
    assert (counting.came, counting.most) == (3, 1)
