from typing import Any

import pytest
from pydantic import ValidationError

from serving.settings.emulator import EmulatorBatches
from serving.settings.tiers import AnthropicEngine

EMULATED = {"engine": "anthropic", "base_url": "emulator", "emulated": {"engine": "mock"}}


def test_a_tier_says_how_its_emulator_works_off_batches() -> None:
    batches = {"delay_s": 0, "requests_per_s": 500, "cache_share": 0.5}
    engine = AnthropicEngine.model_validate({**EMULATED, "emulator_batches": batches})
    assert engine.emulator_batches == EmulatorBatches(
        delay_s=0, requests_per_s=500, cache_share=0.5
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_s": 0},
        {"delay_s": -1},
        {"cache_share": 1.1},
        {"errored": 0.6, "expired": 0.6},
        {"speed": 1},
    ],
)
def test_rules_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmulatorBatches.model_validate(wrong)
