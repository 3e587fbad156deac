"""What `check` says of the memory of vLLM tiers."""

from typing import Any

from deploy.cli.check_memory import TierMemory, memory_findings, memory_of
from deploy.cli.findings import Finding
from serving.costs.breakeven import Mix
from serving.engines.vllm.sizing import Host
from serving.settings.root import Settings

LLAMA = "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic"
QWEN = "Qwen/Qwen2.5-7B-Instruct"
MIX = Mix(1_200, 200)


def tier(name: str, model: str, context_tokens: int = 16_384, **backend: Any) -> dict[str, Any]:
    given = {"name": name, "model": model, "context_tokens": context_tokens}
    return {**given, "backend": {"engine": "vllm", **backend}}


def settings(*tiers: dict[str, Any], **rest: Any) -> Settings:
    return Settings.model_validate({"runtime": "ray", "tiers": list(tiers), **rest})


def findings(*tiers: dict[str, Any], host: Host | None = None, **rest: Any) -> list[Finding]:
    return list(memory_findings(settings(*tiers, **rest), host or Host()))


def of_level(level: str, found: list[Finding]) -> list[tuple[str, str]]:
    return [(f.where, f.message) for f in found if f.level == level]


def view(config: Settings, host: Host | None = None) -> TierMemory:
    (found,) = memory_of(config, host or Host(), MIX)
    return found


def test_a_tier_that_fits_has_its_plan_and_no_complaint() -> None:
    large = tier("large", LLAMA, accelerator_type="H200", max_num_seqs=64)
    found = view(settings(large))
    assert found.plan is not None
    assert (found.fits, found.weights, found.found) == (True, "fp8", "by its name")
    assert found.at_length == found.plan.kv_tokens // 16_384
    assert found.at_typical == 64
    assert [f.level for f in findings(large)] == ["note"]


def test_one_that_cannot_fit_is_refused_with_the_numbers_and_what_to_change() -> None:
    large = tier("large", LLAMA, accelerator_type="H100")
    ((where, message),) = of_level("error", findings(large))
    assert where == "tiers.large.backend"
    for said in ("67.7 GiB", "71.2 GiB", "What would fit: tensor_parallel: 2 (", "in 4-bit"):
        assert said in message
    assert view(settings(large)).fits is False


def test_where_nothing_helps_it_says_so() -> None:
    ((_, message),) = of_level("error", findings(tier("large", LLAMA, gpu_memory_gib=4)))
    assert "take a smaller model or more memory" in message


def test_what_is_not_known_is_said_not_guessed() -> None:
    unknown = tier("mine", "acme/7b", accelerator_type="H100")
    ((where, message),) = of_level("warning", findings(unknown))
    assert where == "tiers.mine.backend"
    assert message.startswith("the memory plan can't be computed: the dimensions of acme/7b")
    found = view(settings(unknown))
    assert (found.plan, found.fits) == (None, None)
    assert found.unknown is not None
    nowhere = of_level("warning", findings(tier("small", QWEN)))
    assert "set accelerator_type or gpu_memory_gib" in nowhere[0][1]
    assert of_level("warning", findings(tier("small", QWEN), host=Host(gpus=(79.0,)))) == []


def test_a_model_is_not_asked_for_longer_sequences_than_it_was_made_for() -> None:
    long = tier("small", QWEN, 40_000, accelerator_type="H100")
    ((where, message),) = of_level("error", findings(long))
    assert where == "tiers.small.context_tokens"
    assert "40,000 tokens are more than the 32,768" in message
    allowances: tuple[dict[str, Any], ...] = (
        {"environment": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}},
        {"engine_args": {"hf_overrides": {"rope_scaling": {}}}},
    )
    for allowed in allowances:
        found = findings(tier("small", QWEN, 40_000, accelerator_type="H100", **allowed))
        assert of_level("error", found) == []
        assert [w for w, _ in of_level("warning", found)] == ["tiers.small.context_tokens"]


def test_heads_that_do_not_come_out_even() -> None:
    odd = tier("small", QWEN, accelerator_type="H100", tensor_parallel=8)
    ((_, message),) = of_level("error", findings(odd))
    assert "28 attention heads and 4 key-value heads" in message


def test_tiers_that_share_a_gpu_should_fix_their_caches() -> None:
    shared: dict[str, Any] = {
        "accelerator_type": "H200",
        "gpu_share": 0.25,
        "gpu_memory_utilization": 0.23,
    }
    ((where, message),) = of_level("warning", findings(tier("small", QWEN, **shared)))
    assert where == "tiers.small.backend"
    assert "gpu_kv_cache_gib: 15" in message
    fixed = tier("small", QWEN, **shared, gpu_kv_cache_gib=15)
    assert of_level("warning", findings(fixed)) == []
    assert view(settings(fixed)).hardware == "0.25 of H200"
    late = tier("small", QWEN, **shared | {"gpu_memory_utilization": 0.9}, gpu_kv_cache_gib=15)
    ((_, message),) = of_level("warning", findings(late))
    assert "starts only while 90% of its GPU is free, and 25% is its own" in message


def test_more_than_its_share_is_refused() -> None:
    greedy = tier("small", QWEN, accelerator_type="H200", gpu_share=0.25)
    ((_, message),) = of_level("error", findings(greedy))
    assert "may take 34.9 GiB" in message


def test_ray_is_asked_for_all_gpus_of_all_replicas() -> None:
    small = {**tier("small", QWEN, accelerator_type="H100"), "replicas": 3}
    scaled = {"min_replicas": 1, "max_replicas": 2}
    large = tier("large", LLAMA, accelerator_type="H100", tensor_parallel=2, autoscaling=scaled)
    asked = "asks Ray for GPUs: small 3, large 4; 7 in all"
    assert of_level("note", findings(small, large)) == [("tiers", asked)]
    ((_, message),) = of_level("warning", findings(small, large, host=Host(gpus=(79.0,) * 4)))
    assert message == f"{asked}, and this host has 4: others must join the cluster"
    assert of_level("warning", findings(small, large, host=Host(gpus=(79.0,) * 8))) == []


def test_cpu_tiers_share_one_memory() -> None:
    def two(**backend: Any) -> list[dict[str, Any]]:
        names = ("one", "two")
        return [tier(n, "Qwen/Qwen2.5-0.5B-Instruct", accelerator="cpu", **backend) for n in names]

    host = Host(memory_gib=12)
    assert of_level("error", findings(two()[0], host=host)) == []
    ((where, message),) = of_level("error", findings(*two(), host=host))
    assert where == "tiers"
    assert "together they need 11.4 GiB (one 5.7 GiB, two 5.7 GiB) of 9.0 GiB" in message
    assert of_level("error", findings(*two(cpu_kv_cache_gib=0.5), host=host)) == []


def test_embedders_are_planned_too() -> None:
    vectors = tier("vectors", "Qwen/Qwen3-Embedding-0.6B", accelerator_type="L4")
    chat = {"name": "mock", "model": "m", "backend": {"engine": "mock"}}
    found = view(settings(chat, embedders=[vectors]))
    assert (found.tier, found.fits) == ("vectors", True)
    huge = tier("vectors", "Qwen/Qwen3-Embedding-8B", gpu_memory_gib=8)
    ((where, _),) = of_level("error", findings(chat, embedders=[huge]))
    assert where == "embedders.vectors.backend"


def test_other_engines_have_no_plan() -> None:
    mock = settings({"name": "mock", "model": "m", "backend": {"engine": "mock"}})
    assert memory_of(mock, Host(), MIX) == ()
    assert list(memory_findings(mock, Host())) == []
