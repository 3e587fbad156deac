"""The `openai` SDK's client of a tier: key and address are those of its settings."""

from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI, Omit, Timeout

from serving.errors import ConfigError
from serving.settings.secrets import read_secret, scrubbed
from serving.settings.tiers import OpenAIEngine, TierSettings

CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Client:
    """`sdk` never retries by itself; `headers` go with every request. `scrub` removes the key, and
    every telling part of it, from what a server says.
    """

    sdk: AsyncOpenAI
    headers: dict[str, str | Omit]
    _key: str | None = field(repr=False)

    def scrub(self, text: str) -> str:
        return scrubbed(text, self._key)

    def options(self, **more: Any) -> Any:
        """Of one request. `security`: the SDK would else fall back on a key of the environment."""
        headers = {**self.headers, **more.pop("headers", {})}
        return {"headers": headers, "security": {"bearer_auth": True}, **more}


def client(tier: TierSettings) -> Client:
    """`ConfigError` where a key is configured and not there, or the tier has another engine."""
    engine = engine_of(tier)
    key = _key(tier.name, engine)
    # The SDK would send these from the environment, whatever server the tier names.
    headers: dict[str, str | Omit] = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    if key is None:
        headers["Authorization"] = Omit()
    sdk = AsyncOpenAI(
        api_key=key or "unused",
        admin_api_key="",
        base_url=engine.base_url,
        max_retries=0,
        timeout=Timeout(None, connect=CONNECT_TIMEOUT_S),
    )
    return Client(sdk, headers, key)


def engine_of(tier: TierSettings) -> OpenAIEngine:
    if not isinstance(tier.backend, OpenAIEngine):
        raise ConfigError(f"tiers.{tier.name}: the engine is {tier.backend.engine}, not openai")
    return tier.backend


def _key(tier: str, engine: OpenAIEngine) -> str | None:
    key = read_secret(engine.api_key_env, engine.api_key_file)
    if key is None and (engine.api_key_env or engine.api_key_file):
        source = engine.api_key_file or f"the environment variable {engine.api_key_env}"
        raise ConfigError(f"tiers.{tier}: no API key in {source}")
    return key
