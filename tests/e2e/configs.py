"""Configurations of whole stacks for tests: mock tiers and emulated Claude, without waiting."""

from copy import deepcopy
from typing import Any


def mock_tier(name: str, **backend: Any) -> dict[str, Any]:
    return {
        "name": name,
        "model": f"mock-{name}",
        "backend": {"engine": "mock", "ability": 9.0, "time_scale": 0, **backend},
        "price": {"kind": "tokens", "input_per_mtok": 0.1, "output_per_mtok": 0.4},
        "deadline_s": 5,
    }


def claude_tier(name: str, model: str, **emulated: Any) -> dict[str, Any]:
    mock = {"engine": "mock", "ability": 9.0, "time_scale": 0, "logprobs": False, **emulated}
    return {
        "name": name,
        "model": model,
        "backend": {"engine": "anthropic", "base_url": "emulator", "emulated": mock},
        "deadline_s": 10,
    }


LADDER: dict[str, Any] = {
    "tiers": [
        mock_tier("small"),
        mock_tier("large"),
        claude_tier("sonnet", "claude-sonnet-5-5"),
        claude_tier("opus", "claude-opus-5-5"),
    ],
    "default_task": {"name": "default", "gate": "off"},
}


def ladder(**changes: Any) -> dict[str, Any]:
    """The whole ladder, with top-level keys replaced."""
    return deepcopy({**LADDER, **changes})
