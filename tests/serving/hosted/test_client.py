import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from serving.hosted.client import LOGGERS, client
from serving.settings.tiers import AnthropicEngine, TierSettings
from tests.serving.hosted.fakes import OPUS, adapter, call, chat, emulated

KEY = "sk-ant-api03-0123456789abcdef"


def real(**engine: Any) -> TierSettings:
    backend = AnthropicEngine.model_validate(
        {"engine": "anthropic", "api_key_env": "MY_KEY", **engine}
    )
    return TierSettings(name="top", model=OPUS, backend=backend)


def test_the_key_and_address_are_the_tiers_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "other-token")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://elsewhere.test")
    found = client(real())
    assert found.sdk.api_key == KEY
    assert found.sdk.auth_token is None
    assert str(found.sdk.base_url).rstrip("/") == "https://api.anthropic.com"
    assert found.sdk.max_retries == 0


def test_a_client_does_not_show_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    found = client(real())
    assert "0123456" not in repr(found)
    assert found.scrub(f"bad key {KEY}!") == "bad key ***!"


async def test_a_proxy_of_the_environment_is_not_asked_for_the_emulator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with emulated() as url, adapter(url) as backend:
        assert (await backend.complete(chat("Hi"), call())).first.content


FIRST_IMPORT = """
import logging, sys
from serving.settings.tiers import AnthropicEngine, MockEngine, TierSettings
from serving.hosted.client import LOGGERS, client

assert "anthropic" not in sys.modules
logging.basicConfig(level=logging.DEBUG)
for name in LOGGERS:
    logging.getLogger(name).setLevel(logging.WARNING)
mock = MockEngine(engine="mock")
engine = AnthropicEngine(engine="anthropic", base_url="emulator", emulated=mock)
client(TierSettings(name="t", model="claude-opus-5-5", backend=engine), "http://127.0.0.1:9")
print([logging.getLogger(name).level for name in LOGGERS])
"""


def test_the_sdks_import_turns_no_logging_on() -> None:
    """It would log every body, if the environment said so, however ours is configured."""
    env = {**os.environ, "ANTHROPIC_LOG": "debug"}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_IMPORT], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == str([logging.WARNING] * len(LOGGERS))
