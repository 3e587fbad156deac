"""One stack for all tests of engines: two vLLM tiers of different size, Claude emulated above."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.settings.key_hash import digest
from tests.e2e.configs import claude_tier
from tests.engine.embedders import local_embedder, make_bert
from tests.engine.models import make_llama, make_lora
from tests.ray.stack import RayStack, running

HERE = Path(__file__).parent
START_S = 420
SCOPES = ["chat", "embeddings", "models", "metrics"]
KEYS = {"acme": "sw-acme-key-of-engine-tests", "globex": "sw-globex-key-of-engine-tests"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("vllm") is not None:
        return
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason="needs real vLLM: make test-engine"))


def vllm_tier(name: str, model: Path, **changes: Any) -> dict[str, Any]:
    """Two engines share the cores, so neither binds its threads to some of them."""
    backend: dict[str, Any] = {
        "engine": "vllm",
        "source": str(model),
        "accelerator": "cpu",
        "cpus": 0.5,
        "dtype": "float32",
        "cpu_kv_cache_gib": 0.25,
        "max_num_seqs": 128,
        "tool_parser": "hermes",
        "engine_args": {"enforce_eager": True},
        "environment": {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"},
    }
    backend |= changes.pop("engine", {})
    return {
        "name": name,
        "model": f"tiny-{name}",
        "context_tokens": 4_096,
        "backend": backend,
        "price": {"kind": "tokens", "input_per_mtok": 0.1, "output_per_mtok": 0.4},
        "output": {"max_tokens": 3_900},
        "deadline_s": 60,
        **changes,
    }


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayStack]:
    folder = tmp_path_factory.mktemp("engine")
    small, large = (
        make_llama(folder / name, layers=layers, seed=layers)
        for name, layers in (("small", 2), ("large", 4))
    )
    lora = make_lora(folder / "lora", large)
    adapted = {"adapters": {"paths": {"shout": str(lora)}, "tasks": {"loud": "shout"}}}
    narrow = {"max_concurrent": 2, "max_queued": 1, "queue_timeout_s": 30}
    tiers = [
        vllm_tier("local-small", small, gate={"min_mean": -0.01}),
        vllm_tier("local-large", large, limits=narrow, engine=adapted),
        claude_tier("sonnet", "claude-sonnet-5-5"),
    ]
    config = {
        "tiers": tiers,
        "default_task": {"name": "default", "gate": "on"},
        "tasks": [{"name": "loud"}],
        "embedders": [local_embedder(make_bert(folder / "embed"))],
        "keys": [
            {"id": tenant, "tenant": tenant, "hash": digest(key), "scopes": SCOPES}
            for tenant, key in KEYS.items()
        ],
    }
    with running(config, folder, start_s=START_S, key=KEYS["acme"]) as stack:
        yield stack
