"""Settings of the semantic cache."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.settings.root import Settings

TIER = {"name": "small", "model": "m", "backend": {"engine": "mock"}}


def settings(**semantic: Any) -> Settings:
    return Settings.model_validate({"tiers": [TIER], "cache": {"semantic": semantic}})


def test_it_is_off_unless_wanted() -> None:
    plain = Settings.model_validate({"tiers": [TIER]})
    assert not plain.cache.semantic.enabled
    assert plain.default_task.cache.semantic.enabled
    assert not plain.default_task.cache.enabled


def test_the_verifier_must_be_a_tier() -> None:
    assert settings(verifier="small").cache.semantic.verifier == "small"
    with pytest.raises(ValidationError, match=r"cache\.semantic\.verifier: no tier 'huge'"):
        settings(verifier="huge")


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadline_ms": 0},
        {"max_chars": 5_000},
        {"tag_ttl_s": {"a b": 5}},
        {"tag_ttl_s": {"a": 0}},
        {"index": "annoy"},
        {"unknown": 1},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


@pytest.mark.parametrize("wrong", [{"delta": 0}, {"delta": 0.6}, {"confidence": 1}, {"audit": 2}])
def test_a_bound_that_bounds_nothing_is_refused(wrong: dict[str, Any]) -> None:
    task = {"name": "faq", "cache": {"enabled": True, "semantic": wrong}}
    with pytest.raises(ValidationError):
        Settings.model_validate({"tiers": [TIER], "tasks": [task]})
