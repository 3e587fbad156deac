"""Worker groups follow from the configuration."""

from pathlib import Path
from typing import Any

import pytest

from deploy.kube.groups import CACHE, GATEWAY, SHARED, Group, bundles, groups_of
from serving.errors import ConfigError
from serving.settings.load import load_settings
from serving.settings.root import Settings

CONFIGS = Path(__file__).parents[3] / "deploy" / "configs"
PRICE = {"kind": "gpu", "gpu_hour": 1, "prefill_tokens_per_s": 1, "decode_tokens_per_s": 1}


def vllm(name: str, **engine: Any) -> dict[str, Any]:
    backend = {"engine": "vllm", **engine}
    return {"name": name, "model": "m", "backend": backend, "price": PRICE}


def groups(*tiers: dict[str, Any], **settings: Any) -> dict[str, Group]:
    found = groups_of(Settings.model_validate({"runtime": "ray", "tiers": tiers, **settings}))
    return {group.name: group for group in found}


MOCK = {"name": "small", "model": "m", "backend": {"engine": "mock"}, "replicas": 3}
CLAUDE = {"name": "opus", "model": "claude-opus-5-5", "backend": {"engine": "anthropic"}}


def test_a_simulated_tier_has_pods_of_its_own_without_gpus() -> None:
    found = groups(MOCK, CLAUDE)
    assert list(found) == [GATEWAY, "small"]
    assert (found["small"].replicas, found["small"].gpus) == (3, 0)
    assert found["small"].resources == {"stepwell-tier-small": 2}


def test_hosted_tiers_are_asked_by_the_gateways_pods() -> None:
    resources = groups(MOCK, CLAUDE)[GATEWAY].resources
    assert set(resources) == {"stepwell-gateway", "stepwell-egress"}
    assert set(groups(MOCK)[GATEWAY].resources) == {"stepwell-gateway"}


def test_another_server_is_asked_by_the_gateways_pods_too() -> None:
    server = {"name": "own", "model": "m", "backend": {"engine": "openai", "base_url": "http://a"}}
    found = groups({**server, "price": PRICE})
    assert "stepwell-tier-own" in found[GATEWAY].resources
    assert list(found) == [GATEWAY]


def test_gateways_have_a_pod_each() -> None:
    found = groups(MOCK, CLAUDE, ray={"gateways": 2, "egress": 3})
    assert (found[GATEWAY].replicas, found[GATEWAY].max_replicas) == (3, 6)


def test_the_cache_has_pods_where_it_is_on() -> None:
    assert CACHE not in groups(MOCK)
    on = groups(MOCK, cache={"semantic": {"enabled": True, "max_bytes": 8 * 2**30}})
    assert on[CACHE].memory_gib >= 16
    watched = groups(MOCK, cache={"semantic": {"enabled": True}}, mode="observe")
    assert CACHE not in watched


def test_embedders_without_a_gpu_stand_with_the_cache() -> None:
    embedder = {"name": "mini", "model": "all-MiniLM-L6-v2", "backend": {"engine": "local"}}
    assert groups(MOCK, embedders=[embedder])[CACHE].resources == {"stepwell-embed-mini": 2}


def test_a_tier_over_several_gpus_has_them_in_one_pod() -> None:
    tier = vllm("big", tensor_parallel=2, pipeline_parallel=2, accelerator_type="H100")
    group = groups(tier)["big"]
    assert (group.gpus, group.accelerators, group.vllm) == (4, ("H100",), True)
    settings = Settings.model_validate({"runtime": "ray", "tiers": [tier]})
    each = {"CPU": 1.0, "GPU": 1.0, "stepwell-tier-big": 1}
    assert bundles(settings.tiers[0], "tier-big") == [each] * 4


def test_bounds_are_those_of_autoscaling() -> None:
    group = groups(vllm("a", autoscaling={"min_replicas": 0, "max_replicas": 5}))["a"]
    assert (group.replicas, group.max_replicas) == (0, 5)


def test_an_engine_on_a_cpu_takes_no_gpu() -> None:
    group = groups(vllm("a", accelerator="cpu", cpu_kv_cache_gib=3))["a"]
    assert (group.gpus, group.vllm) == (0, True)
    assert group.memory_gib >= 7


@pytest.mark.parametrize(("name", "gpus"), [("gpu.yaml", 1), ("gpu-2xh100.yaml", 2)])
def test_tiers_that_share_cards_share_a_pod(name: str, gpus: int) -> None:
    found = {g.name: g for g in groups_of(load_settings(CONFIGS / name))}
    assert set(found) == {GATEWAY, SHARED}
    assert found[SHARED].gpus == gpus
    assert set(found[SHARED].resources) == {"stepwell-tier-local-7b", "stepwell-tier-local-70b"}


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([vllm("a", gpu_share=0.6), vllm("b", gpu_share=0.6)], "more than the 1"),
        ([vllm("a", gpu_share=0.5, autoscaling={"max_replicas": 2})], "one replica"),
        (
            [
                vllm("a", gpu_share=0.5, accelerator_type="H100"),
                vllm("b", gpu_share=0.5, accelerator_type="L4"),
            ],
            "H100, L4",
        ),
        ([{**MOCK, "name": "Small"}], "lower-case"),
        ([{**MOCK, "name": "gateway"}], "none of"),
    ],
)
def test_what_pods_cannot_hold_is_refused(tiers: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        groups(*tiers)
