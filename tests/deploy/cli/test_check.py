"""`stepwell check`: what it prints, and what its exit codes say."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from deploy.paths import default_config

CLAUDE = {"name": "opus", "model": "claude-opus-5-5", "backend": {"engine": "anthropic"}}


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


def check(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(config), *options])


def written(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "stepwell.yaml"
    YAML(typ="safe").dump(config, path)
    return path


def test_the_packaged_configuration_can_serve() -> None:
    done = check(default_config())
    assert done.exit_code == 0, done.output
    for said in (
        "local-7b",
        "claude-opus-5-5",
        "simulated",
        "not calibrated",
        "legal (critical)",
        "baseline: opus",
        "sqlite:///",
        "API keys: 0",
        "This configuration can serve.",
    ):
        assert said in done.stdout


def test_json_has_the_same() -> None:
    done = check(default_config(), "--json")
    assert done.exit_code == 0
    figures = json.loads(done.stdout)
    assert figures["ok"] is True
    opus = next(t for t in figures["tiers"] if t["name"] == "opus")
    assert (opus["price"]["input"], opus["price"]["output"]) == ("4", "20")
    assert opus["price"]["since"]
    assert opus["simulated"] is True
    assert {t["name"]: t["start"] for t in figures["tasks"]}["legal"] == "opus"
    assert {"level", "where", "message"} == set(figures["findings"][0])


def test_a_missing_key_means_exit_code_1_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path, {"tiers": [CLAUDE]})
    done = check(config)
    assert done.exit_code == 1
    assert "tiers.opus.backend: no API key: set ANTHROPIC_API_KEY" in done.stdout
    assert "can serve" not in done.stdout
    assert json.loads(check(config, "--json").stdout)["ok"] is False
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
    with_key = check(config)
    assert with_key.exit_code == 0
    assert "sk-ant-secret" not in with_key.output


def test_an_unknown_price_is_not_shown_as_zero(tmp_path: Path) -> None:
    tier = {"name": "new", "model": "brand-new", "backend": {"engine": "mock"}}
    done = check(written(tmp_path, {"tiers": [tier]}))
    assert done.exit_code == 0
    assert "tiers.new.price: no known price" in done.stdout
    figures = json.loads(check(written(tmp_path, {"tiers": [tier]}), "--json").stdout)
    assert figures["tiers"][0]["price"] is None


LOCAL = {
    "name": "local",
    "model": "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic",
    "context_tokens": 8_192,
    "backend": {"engine": "vllm", "accelerator_type": "H200"},
    "price": {
        "kind": "gpu",
        "gpu_hour": 3.6,
        "prefill_tokens_per_s": 6_000,
        "decode_tokens_per_s": 1_000,
    },
}


def test_a_tier_that_cannot_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    on_h100 = {**LOCAL, "backend": {"engine": "vllm", "accelerator_type": "H100"}}
    done = check(written(tmp_path, {"runtime": "ray", "tiers": [on_h100]}), "--elsewhere")
    assert done.exit_code == 1, "it fits nowhere"
    assert "DOES NOT FIT" in done.stdout
    assert "tiers.local.backend: does not fit: weights 67.7 GiB" in done.stdout
    assert "tensor_parallel: 2 (" in done.stdout
    assert "can serve" not in done.stdout
    fits = check(written(tmp_path, {"runtime": "ray", "tiers": [LOCAL]}), "--elsewhere")
    assert fits.exit_code == 0, fits.stdout
    assert "can serve where there is what this host lacks" in fits.stdout


def test_the_plan_and_the_prices_follow_the_options(tmp_path: Path) -> None:
    config = written(tmp_path, {"runtime": "ray", "tiers": [LOCAL, CLAUDE]})
    asked = ("--prompt-tokens", "600", "--completion-tokens", "100", "--utilisation", "0.5")
    done = check(config, "--elsewhere", *asked)
    assert "USD per thousand requests of 600 and 100 tokens" in done.stdout
    figures = json.loads(check(config, "--elsewhere", *asked, "--json").stdout)
    (memory,) = figures["memory"]
    assert memory["fits"] is True
    assert memory["at_typical"] == min(128, memory["plan"]["kv_tokens"] // 700)
    opus = figures["local_or_hosted"][0]
    assert (opus["tier"], opus["hosted"], opus["undercut"]) == ("local", "opus", False)
    assert (opus["busy_usd"], opus["owned_usd"]) == ("0.0002", "0.0004")
    assert check(config, "--utilisation", "0").exit_code == 2


def test_passwords_stay_hidden(tmp_path: Path) -> None:
    tier = {"name": "small", "model": "m", "backend": {"engine": "mock"}}
    url = "postgresql://app:hunter2@db.example:5432/stepwell?sslpassword=hunter3"
    config = written(tmp_path, {"tiers": [tier], "storage": {"url": url}})
    for options in ((), ("--json",)):
        done = check(config, *options)
        assert "db.example:5432/stepwell" in done.output
        assert "hunter" not in done.output


def test_a_bad_rate_card_is_a_wrong_configuration(tmp_path: Path) -> None:
    card = tmp_path / "rates.yaml"
    card.write_text("prices: 3\n", "utf-8")
    tier = {"name": "small", "model": "m", "backend": {"engine": "mock"}}
    done = check(written(tmp_path, {"tiers": [tier], "rates": str(card)}))
    assert done.exit_code == 2
    assert f"{card}:1" in done.stderr
