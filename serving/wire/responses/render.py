"""A response as OpenAI writes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serving.wire.completion import Choice, Usage
from serving.wire.responses.output import INCOMPLETE
from serving.wire.responses.request import ResponseRequest

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ENDED: tuple[Status, ...] = ("completed", "incomplete", "failed", "cancelled")

OUTCOME = (
    *("status", "completed_at", "error", "incomplete_details", "model", "output", "usage"),
    *("service_tier", "stepwell"),
)
"""What is known of a response at its end only."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a response is from its beginning. `created_at` is in Unix seconds."""

    id: str
    created_at: int
    asked: ResponseRequest
    store: bool
    background: bool = False

    @property
    def service_tier(self) -> str:
        flex = self.asked.service_tier == "flex" and not self.background
        return "flex" if flex else "default"

    def body(self, status: Status, **known: Any) -> dict[str, Any]:
        """The response in this state; `known` are of its outcome."""
        asked = self.asked
        reasoning = asked.reasoning.effort if asked.reasoning is not None else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "completed_at": None,
            "background": self.background,
            "error": None,
            "incomplete_details": None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "max_tool_calls": asked.max_tool_calls,
            "metadata": asked.metadata or {},
            "model": asked.model,
            "output": [],
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": asked.previous_response_id,
            "reasoning": {"effort": reasoning, "summary": None},
            "service_tier": self.service_tier,
            "store": self.store,
            "temperature": asked.temperature,
            "text": _text(asked),
            "tool_choice": _choice(asked),
            "tools": [_tool(tool.model_dump()) for tool in asked.tools or ()],
            "top_logprobs": asked.top_logprobs,
            "top_p": asked.top_p,
            "truncation": "disabled",
            "usage": None,
            "user": asked.user,
            **known,
        }


def ended(choice: Choice, items: Iterable[dict[str, Any]], *, at: int) -> dict[str, Any]:
    """How a response stands that a tier answered; `at` in Unix seconds."""
    reason = INCOMPLETE.get(choice.finish_reason)
    known: dict[str, Any] = {"output": list(items)}
    if reason is not None:
        return known | {"status": "incomplete", "incomplete_details": {"reason": reason}}
    return known | {"status": "completed", "completed_at": at}


def failure(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """The `error` of a response that failed with this HTTP status. Its codes are OpenAI's few; our
    own stands in the message.
    """
    known = {429: "rate_limit_exceeded", 503: "rate_limit_exceeded", 400: "invalid_prompt"}
    told = message if code is None else f"{message} ({code})"
    return {"code": known.get(status, "server_error"), "message": told}


def outcome_of(answered: Mapping[str, Any]) -> dict[str, Any]:
    """What a response answered elsewhere brings to the one it is for."""
    return {name: answered[name] for name in OUTCOME if name in answered}


def response_usage(usage: Usage, stepwell: Mapping[str, Any]) -> dict[str, Any]:
    marks = {"usage_estimated": True} if usage.estimated else {}
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
        "stepwell": {**stepwell, **marks},
    }


def _text(asked: ResponseRequest) -> dict[str, Any]:
    wanted = asked.text
    form = {"type": "text"}
    if wanted is not None and wanted.format is not None:
        form = wanted.format.model_dump(mode="json", exclude_unset=True, by_alias=True)
    verbosity = None if wanted is None else wanted.verbosity
    return {"format": form} | ({} if verbosity is None else {"verbosity": verbosity})


def _choice(asked: ResponseRequest) -> Any:
    choice = asked.tool_choice
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    return {"type": "function", "name": choice.name}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    names = ("type", "name", "description", "parameters", "strict")
    return {name: tool.get(name) for name in names}
