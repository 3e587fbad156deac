"""A configuration is read whole or refused with file, line, key and what is allowed."""

from pathlib import Path

import pytest

from deploy.paths import default_config
from serving.errors import ConfigError
from serving.settings.load import load_settings

MINIMAL = """\
tiers:
  - name: small
    model: m
    backend: {engine: mock}
  - name: big
    model: claude-opus-5-5
    backend:
      engine: anthropic
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "stepwell.yaml"
    path.write_text(text)
    return path


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    return caught.value.message.replace(str(tmp_path) + "/", "")


def test_minimal_config_has_safe_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, MINIMAL))
    assert [t.name for t in settings.tiers] == ["small", "big"]
    assert settings.baseline_tier.name == "big"
    assert not settings.default_task.cache.enabled
    assert settings.server.loopback


def test_packaged_mock_config_loads() -> None:
    settings = load_settings(default_config())
    assert all(t.simulated for t in settings.tiers)
    assert settings.baseline_tier.name == "opus"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "bseline: big\n", "stepwell.yaml:9: bseline: unknown key; did you mean 'base"),
        (
            MINIMAL.replace("engine: mock}", "engine: mock, abilty: 1}"),
            "stepwell.yaml:4: tiers.0.backend.abilty: unknown key; did you mean 'ability'?",
        ),
        (
            MINIMAL.replace("engine: mock}", "engine: mok}"),
            "stepwell.yaml:4: tiers.0.backend: ",
        ),
        (MINIMAL + "mode: fast\n", "stepwell.yaml:9: mode: Input should be 'cascade' or 'observe'"),
        (MINIMAL + "baseline: opus\n", "stepwell.yaml:9: baseline: no tier 'opus'; known: small"),
        (
            MINIMAL + "tasks:\n  - name: a\n  - name: b\n    start: none\n",
            "stepwell.yaml:12: tasks.b.start: no tier 'none'",
        ),
        (
            MINIMAL + "tasks:\n  - name: a\n    start: big\n    max: small\n",
            "stepwell.yaml:10: tasks.a: start stands above max",
        ),
        (MINIMAL + "server: {host: 0.0.0.0}\n", "stepwell.yaml:9: server.host: 0.0.0.0 is not"),
        (MINIMAL + "mode: cascade\nmode: observe\n", "stepwell.yaml:10: found duplicate key"),
        ("tiers: [\n", "stepwell.yaml:2: "),
        ("- 1\n", "stepwell.yaml:1: expected a mapping"),
        (MINIMAL.replace("    model: m\n", ""), "stepwell.yaml:2: tiers.0.model: Field required"),
        (MINIMAL + "request_deadline_s: 0\n", "stepwell.yaml:9: request_deadline_s: Input should"),
    ],
)
def test_refusals_name_file_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refusal(tmp_path, text)


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, MINIMAL + "mode: x\nfoo: 1\n").splitlines()) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "none.yaml")


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, MINIMAL))
    with pytest.raises(ValueError, match="frozen"):
        settings.mode = "observe"  # type: ignore[misc]  # the assignment is what is tested


def test_same_model_may_stand_twice(tmp_path: Path) -> None:
    text = MINIMAL + (
        "  - name: bigger\n    model: claude-opus-5-5\n    effort: max\n"
        "    backend: {engine: anthropic}\n"
    )
    assert len(load_settings(write(tmp_path, text)).tiers) == 3
