"""Embedders in the configuration: what they may be, and how they are found."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.settings.local import LocalEngine
from serving.settings.root import Settings

MOCK = {"engine": "mock"}
TIER = {"name": "small", "model": "m", "backend": MOCK}


def embedder(name: str = "mini", backend: dict[str, Any] = MOCK, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": f"{name}-model", "backend": backend, **more}


def settings(*embedders: dict[str, Any], **more: Any) -> Settings:
    return Settings.model_validate({"tiers": [TIER], "embedders": embedders, **more})


def test_an_embedder_goes_by_its_name_and_by_its_model() -> None:
    found = settings(
        embedder("one"), embedder("two", model="one"), embedder("three", model="one-model")
    )
    for asked, name in (("one", "one"), ("two", "two"), ("one-model", "one")):
        by = found.embedder(asked)
        assert by is not None
        assert by.name == name
    assert found.embedder("small") is None
    assert Settings.model_validate({"tiers": [TIER]}).embedders == ()


def test_an_alias_may_mean_an_embedder() -> None:
    assert settings(embedder(), aliases={"ada": "mini"}).aliases == {"ada": "mini"}


@pytest.mark.parametrize(
    ("embedders", "more", "fault"),
    [
        ([embedder("small")], {}, "small stands twice"),
        ([embedder(), embedder()], {}, "mini stands twice"),
        ([embedder("auto")], {}, "'auto' is the name of the cascade"),
        ([embedder(backend={"engine": "anthropic"})], {}, "has no embeddings"),
        ([embedder(gate={})], {}, "embedders.mini: gate has no meaning"),
        ([embedder(backend={"engine": "local", "threads": 0})], {}, "threads"),
        ([embedder(backend={"engine": "local", "gpu_share": 1.5})], {}, "gpu_share"),
        ([embedder(effort="low", output={})], {}, "effort, output has no meaning"),
        ([embedder(backend={"engine": "vllm"})], {}, "embedders.mini: vLLM runs on Ray"),
        (
            [embedder(backend={"engine": "vllm", "tool_parser": "hermes"})],
            {"runtime": "ray"},
            "backend.tool_parser has no meaning",
        ),
        ([embedder()], {"baseline": "mini"}, "no tier 'mini'"),
        ([embedder()], {"default_task": {"name": "default", "start": "mini"}}, "no tier 'mini'"),
    ],
)
def test_what_cannot_be(embedders: list[Any], more: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        settings(*embedders, **more)


def test_vllm_embeds_on_ray() -> None:
    found = settings(embedder(backend={"engine": "vllm"}), runtime="ray")
    assert found.embedders[0].backend.engine == "vllm"


def test_a_model_in_this_process_is_an_embedder_and_no_tier() -> None:
    local = {"engine": "local", "threads": 2}
    found = settings(embedder(backend=local)).embedders[0]
    assert found.backend == LocalEngine(engine="local", threads=2)
    assert not found.hosted
    assert not found.simulated
    with pytest.raises(ValidationError, match=r"tiers\.big: engine local makes vectors only"):
        Settings.model_validate({"tiers": [embedder("big", backend=local)]})
