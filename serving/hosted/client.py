"""The `anthropic` SDK's client of a tier: key, address and time limits come from its settings."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serving.errors import ConfigError
from serving.settings.secrets import read_secret, scrubbed
from serving.settings.tiers import AnthropicEngine, TierSettings

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic

BASE_URL = "https://api.anthropic.com"
EMULATOR_KEY = "emulator"
CONNECT_S = 5.0
LOGGERS = ("anthropic", "httpx2")


@dataclass(frozen=True, slots=True)
class Client:
    """`sdk` never retries by itself. `scrub` removes the key, and every telling part of it, from
    what a server says.
    """

    sdk: "AsyncAnthropic"
    _key: str | None = field(repr=False)

    def scrub(self, text: str) -> str:
        return scrubbed(text, self._key)


def client(tier: TierSettings, base_url: str | None = None) -> Client:
    """`base_url` replaces the tier's own. `ConfigError` where the SDK or the key is missing, or the
    tier is no Claude tier.
    """
    engine = tier.backend
    if not isinstance(engine, AnthropicEngine):
        raise ConfigError(f"tier {tier.name}: its engine is not anthropic")
    try:
        with _own_log_levels():
            import anthropic  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            f"tier {tier.name}: the anthropic SDK is missing; pip install 'stepwell[anthropic]'"
        ) from None
    if engine.emulated is not None and base_url is None:
        raise ConfigError(f"tier {tier.name}: the emulator's address is not known")
    emulated = engine.emulated is not None
    key = None if emulated else _key(tier.name, engine)  # a real key never goes to the emulator
    sdk = anthropic.AsyncAnthropic(
        api_key=key or EMULATOR_KEY,
        base_url=base_url or engine.base_url or BASE_URL,
        max_retries=0,
        timeout=tier.deadline_s,
        http_client=_loopback() if emulated else None,
    )
    return Client(sdk, key)


def time_left(deadline: float) -> Any:
    """The HTTP library's own timeout, so that its waits end at `deadline`, in the loop's time, and
    connecting sooner.
    """
    import httpx2  # noqa: PLC0415 - comes with the SDK

    left = max(0.001, deadline - asyncio.get_running_loop().time())
    return httpx2.Timeout(left, connect=min(CONNECT_S, left))


@contextmanager
def _own_log_levels() -> Iterator[None]:
    """Keeps the levels of its loggers where the SDK's import would change them by what the
    environment says: it logs bodies and headers, and what is logged is for our configuration to
    say.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _key(tier: str, engine: AnthropicEngine) -> str:
    key = read_secret(engine.api_key_env, engine.api_key_file)
    if key is None:
        where = engine.api_key_file or engine.api_key_env
        raise ConfigError(f"tier {tier}: no API key in {where}")
    return key


def _loopback() -> "httpx2.AsyncClient":
    """An HTTP client for the emulator, which a proxy named in the environment does not reach."""
    import anthropic  # noqa: PLC0415 - an extra
    import httpx2  # noqa: PLC0415 - comes with it

    limits = anthropic.DEFAULT_CONNECTION_LIMITS
    transport = httpx2.AsyncHTTPTransport(limits=limits)
    return anthropic.DefaultAsyncHttpxClient(transport=transport)
