"""A configuration with an unusable validator is refused before it serves."""

import pytest

from router.validators.configured import check_tasks
from serving.errors import ConfigError
from serving.settings.root import Settings
from tests.e2e.configs import mock_tier


def settings(validator: dict[str, object]) -> Settings:
    tasks = [{"name": "faq", "validators": [{"kind": "json"}, validator]}]
    return Settings.model_validate({"tiers": [mock_tier("only")], "tasks": tasks})


@pytest.mark.parametrize(
    "validator",
    [
        {"kind": "regex", "pattern": "(a"},
        {"kind": "json_schema", "schema": {"$ref": "https://example.com/schema.json"}},
    ],
)
def test_the_task_and_the_validator_are_named(validator: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.faq\.validators\.1: "):
        check_tasks(settings(validator))


def test_good_ones_pass() -> None:
    check_tasks(settings({"kind": "regex", "pattern": "^[A-Z]"}))
