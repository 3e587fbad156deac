"""What embeds and tokenizes in this process, by the settings."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.asides import ability_of, open_asides, tokenizes
from serving.engines.embedding import EmbedderAbility
from serving.engines.guard.guard import GuardedEmbedder
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.telemetry.metrics import Metrics

URL = "http://127.0.0.1:9/v1"
MOCK = {"engine": "mock"}
TELLS = {"engine": "openai", "base_url": URL, "tokenize": True}
SILENT = {"engine": "openai", "base_url": URL, "params": ["dimensions"]}


def named(name: str, backend: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "model": name, "backend": backend}


def settings(**more: Any) -> Settings:
    claude = named("claude", {"engine": "anthropic"})
    tiers = [claude, named("mock", MOCK), named("tells", TELLS), named("silent", SILENT)]
    embedders = [named("e-mock", MOCK), named("e-tells", TELLS), named("e-silent", SILENT)]
    return Settings.model_validate({"tiers": tiers, "embedders": embedders, **more})


async def test_each_by_its_name() -> None:
    async with AsyncExitStack() as stack:
        found = await open_asides(settings(), stack, Metrics())
    assert list(found.embedders) == ["e-mock", "e-tells", "e-silent"]
    assert all(isinstance(e, GuardedEmbedder) for e in found.embedders.values())
    assert list(found.tokenizers) == ["mock", "tells", "e-mock", "e-tells"]


def test_what_can_tokenize_is_known_without_opening_it() -> None:
    known = settings()
    able = [t.name for t in (*known.tiers, *known.embedders) if tokenizes(t)]
    assert able == ["mock", "tells", "e-mock", "e-tells"]


def test_what_each_can() -> None:
    mock, tells, silent = settings().embedders
    assert ability_of(mock) == ability_of(tells) == EmbedderAbility()
    assert ability_of(silent) == EmbedderAbility(frozenset(), dimensions=True)
    vllm = settings(runtime="ray", embedders=[named("v", {"engine": "vllm"})]).embedders[0]
    assert ability_of(vllm).params is not None
    local = settings(embedders=[named("l", {"engine": "local"})]).embedders[0]
    assert ability_of(local) == EmbedderAbility(frozenset(), dimensions=True, tokens=False)
    assert not tokenizes(local)


async def test_a_model_that_is_not_there_is_said_before_anything_is_served(tmp_path: Path) -> None:
    local = {"engine": "local", "source": str(tmp_path)}
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
            await open_asides(settings(embedders=[named("e", local)]), stack, Metrics())


async def test_a_missing_key_is_said_before_anything_is_served() -> None:
    keyed = {**SILENT, "api_key_env": "STEPWELL_NO_SUCH_KEY"}
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="STEPWELL_NO_SUCH_KEY"):
            await open_asides(settings(embedders=[named("e", keyed)]), stack, Metrics())
