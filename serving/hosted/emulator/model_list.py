"""`GET /v1/models` and `GET /v1/models/{id}`: what the emulated models can do."""

from collections.abc import Mapping
from typing import Any

from serving.hosted.emulator.paging import envelope, page
from serving.hosted.models import EFFORTS, ModelAbility

CREATED = "2026-01-01T00:00:00Z"


def model_info(model: str, ability: ModelAbility) -> dict[str, Any]:
    """One model as the API describes it; the release date is the emulator's own."""
    rules = ability.thinking
    types = ("adaptive", "between_tools", "disabled", "enabled")
    return {
        "type": "model",
        "id": model,
        "display_name": model.removeprefix("claude-").replace("-", " ").title(),
        "created_at": CREATED,
        "deprecated_at": None,
        "retires_at": None,
        "lifecycle": "active",
        "line": ability.line,
        "max_input_tokens": ability.context,
        "max_tokens": ability.max_output,
        "capabilities": {
            "batch": _supported(True),
            "citations": _supported(False),
            "code_execution": _supported(False),
            "context_management": {"supported": False},
            "effort": {
                "supported": bool(rules.efforts),
                **{e: _supported(e in rules.efforts) for e in EFFORTS},
            },
            "image_input": _supported(True),
            "pdf_input": _supported(True),
            "server_tools": {
                "supported": False,
                "web_search": _supported(False),
                "code_execution": _supported(False),
            },
            "structured_outputs": _supported(True),
            "thinking": {
                "supported": bool({"adaptive", "enabled"} & set(rules.types)),
                "types": {t: _supported(t in rules.types) for t in types},
            },
        },
    }


def model_page(models: Mapping[str, ModelAbility], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the list. All emulated models are active, so another `lifecycle` has none."""
    wanted = query.get("lifecycle[]", query.get("lifecycle", "active"))
    ids = list(models) if wanted == "active" else []
    shown, more = page(ids, query)
    return envelope([model_info(model, models[model]) for model in shown], more=more)


def _supported(yes: bool) -> dict[str, bool]:
    return {"supported": yes}
