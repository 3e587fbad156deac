import pytest

from serving.hosted.models import Catalog, catalog


def test_facts_of_known_models() -> None:
    found = catalog()
    opus, sonnet, haiku = (
        found.ability(f"claude-{line}-5-5") for line in ("opus", "sonnet", "haiku")
    )
    assert (opus.forced_tool_choice, sonnet.forced_tool_choice) == (False, False)
    assert haiku.forced_tool_choice
    assert opus.thinking.off is None
    assert opus.thinking.effort == "medium"
    assert sonnet.thinking.off == "between_tools"
    assert (haiku.thinking.off, haiku.thinking.off_max) == ("disabled", "high")
    assert {m.min_cacheable for m in (opus, sonnet, haiku)} == {512}
    old = found.ability("claude-haiku-4-5")
    assert (old.context, old.max_output, old.min_cacheable) == (200_000, 64_000, 4_096)


def test_a_dated_snapshot_is_its_model() -> None:
    found = catalog()
    assert found.ability("claude-haiku-4-5-20251001") is found.ability("claude-haiku-4-5")
    assert found.notes("claude-haiku-4-5-20251001") == ()


def test_an_unknown_model_is_assumed_to_be_strict_and_is_named() -> None:
    found = catalog()
    unknown = found.ability("claude-opus-6")
    assert not unknown.forced_tool_choice
    assert not unknown.prefill
    assert unknown.thinking.off is None
    (note,) = found.notes("claude-opus-6")
    assert "claude-opus-6" in note
    assert "claude-opus-5-5" in note


def test_only_models_before_4_6_take_a_prefill() -> None:
    models = catalog().models
    assert [name for name, ability in models.items() if ability.prefill] == ["claude-haiku-4-5"]


def test_a_rule_that_contradicts_itself_is_refused() -> None:
    raw = catalog().model_dump()
    raw["unknown"]["thinking"]["off"] = "disabled"
    with pytest.raises(ValueError, match="not among types"):
        Catalog.model_validate(raw)
