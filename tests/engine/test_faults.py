"""An engine dies while it answers."""

import contextlib
import os
import signal
import time
from typing import Any

import openai
import psutil
import pytest

from tests.engine.conftest import KEYS
from tests.ray.stack import RayStack

ASK: list[Any] = [{"role": "user", "content": "Where is my order?"}]
RESTART_S = 180


def engine_of(stack: RayStack, tier: str) -> psutil.Process:
    (replica,) = stack.replicas(f"tier-{tier}")
    found = [p for p in replica.children(recursive=True) if "EngineCore" in _name(p)]
    assert len(found) == 1
    return found[0]


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.name()} {' '.join(process.cmdline())}"
    return ""


def test_the_engine_has_its_environment(stack: RayStack) -> None:
    """What keeps it from following redirects away from the hosts that images may come from."""
    environment = engine_of(stack, "local-large").environ()
    assert environment["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"
    assert environment["OMP_NUM_THREADS"] == "1"


def test_a_killed_engine(stack: RayStack) -> None:
    """Its stream ends in an error event; others answer meanwhile; then it is there again."""
    engine = engine_of(stack, "local-small")  # finding it takes longer than many a stream
    with stack.client(KEYS["acme"], timeout=120) as client:
        stream = client.chat.completions.create(
            model="local-small",
            messages=ASK,
            max_tokens=3_900,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        pieces = iter(stream)
        assert next(pieces).choices
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(openai.APIError, match="local-small"):
            list(pieces)
        meanwhile = client.chat.completions.create(
            model="auto", messages=ASK, max_tokens=8, extra_body={"stepwell": {"explain": True}}
        )
        assert (meanwhile.model_extra or {})["stepwell"]["tier"] != "local-small"
        assert _served_again(client) < RESTART_S


def _served_again(client: openai.OpenAI) -> float:
    began = time.monotonic()
    while time.monotonic() - began < RESTART_S:
        try:
            client.chat.completions.create(model="local-small", messages=ASK, max_tokens=2)
        except openai.APIStatusError:
            time.sleep(1)
        else:
            return time.monotonic() - began
    return RESTART_S
