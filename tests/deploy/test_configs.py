"""The packaged configurations: each is checked without a GPU, a key or a network."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from deploy.paths import default_config
from serving.engines.vllm.sizing import Host
from serving.settings.load import load_settings

FOLDER = default_config().parent
CONFIGS = sorted(path.name for path in FOLDER.glob("*.yaml"))
ON_GPUS = ["gpu-2xh100.yaml", "gpu-small.yaml", "gpu.yaml"]


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setattr("deploy.cli.hardware.this_host", lambda: Host(memory_gib=7.6))


def check(name: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(FOLDER / name), *options])


def figures(name: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(check(name, "--json", *options).stdout)
    return found


def test_the_packaged_configurations_are_these() -> None:
    assert CONFIGS == ["cpu.yaml", "gpu-2xh100.yaml", "gpu-small.yaml", "gpu.yaml", "mock.yaml"]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_could_serve_where_there_is_what_it_needs(name: str) -> None:
    done = check(name, "--elsewhere")
    assert done.exit_code == 0, done.output
    assert "can serve" in done.stdout


@pytest.mark.parametrize("name", CONFIGS)
def test_no_gate_claims_to_be_calibrated(name: str) -> None:
    settings = load_settings(FOLDER / name)
    gates = [tier.gate for tier in settings.tiers if tier.gate is not None]
    assert gates
    assert not any(gate.calibrated for gate in gates)


@pytest.mark.parametrize("name", ON_GPUS)
def test_the_memory_of_each_gpu_tier_is_planned_and_fits(name: str) -> None:
    found = figures(name, "--elsewhere")
    assert found["memory"]
    assert all(tier["fits"] for tier in found["memory"])
    assert all(tier["at_length"] >= 5 for tier in found["memory"])


@pytest.mark.parametrize("name", ON_GPUS)
def test_what_this_host_lacks_is_named(name: str) -> None:
    done = check(name)
    assert done.exit_code == 1
    assert "tiers.sonnet.backend: no API key: set ANTHROPIC_API_KEY" in done.stdout
    assert "tiers.local-7b" in done.stdout
    assert "KV tokens" in done.stdout, "the plan needs no GPU"


def test_one_h200_holds_both_models() -> None:
    found = figures("gpu.yaml", "--elsewhere")["memory"]
    assert sum(tier["devices"] for tier in found) == 1
    taken = sum(tier["plan"]["budget"] + tier["plan"]["outside"] for tier in found)
    assert taken < found[0]["plan"]["capacity"]


def test_two_h100_hold_both_models() -> None:
    small, large = figures("gpu-2xh100.yaml", "--elsewhere")["memory"]
    assert (small["devices"], large["devices"]) == (0.3, 1.36)
    assert large["devices"] / 2 > 0.5, "its two workers can't meet on one GPU"
    on_one = [tier["plan"]["budget"] + tier["plan"]["outside"] for tier in (small, large)]
    assert sum(on_one) < small["plan"]["capacity"]


def test_a_laptop_of_8_gb_is_enough() -> None:
    (tier,) = figures("cpu.yaml")["memory"]
    assert tier["fits"] is True
    assert tier["at_length"] == 8
    lacking = [f for f in figures("cpu.yaml")["findings"] if f["level"] == "error"]
    assert all("is not installed" in f["message"] for f in lacking), "no key, no GPU, no memory"


def test_a_hosted_model_may_undercut_the_large_one() -> None:
    found = check("gpu.yaml", "--elsewhere").stdout
    assert "tiers.local-70b.price: claude-haiku-5-5 undercuts it at 30% utilisation" in found
