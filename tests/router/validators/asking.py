"""What the tests of the validators share."""

from typing import Any

from pydantic import TypeAdapter

from router.validators.base import Validators, Verdict
from serving.settings.validation import ValidatorSpec
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, FinishReason, ToolCallPart

_SPECS: TypeAdapter[ValidatorSpec] = TypeAdapter(ValidatorSpec)


def spec(kind: str, **fields: Any) -> ValidatorSpec:
    """As it would stand in a config or a request."""
    return _SPECS.validate_python({"kind": kind, **fields})


def ask(**fields: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "hi"}]
    return ChatRequest.model_validate({"model": "auto", "messages": messages, **fields})


def tool(name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    function = {"name": name} if parameters is None else {"name": name, "parameters": parameters}
    return {"type": "function", "function": function}


def tool_call(name: str | None, arguments: str = "{}", *, index: int = 0) -> ToolCallPart:
    return ToolCallPart(index, id=f"call_{index}", name=name, arguments=arguments)


def verdict(
    checks: ValidatorSpec | Validators,
    content: str | None,
    request: ChatRequest | None = None,
    *,
    tool_calls: tuple[ToolCallPart, ...] = (),
    finish: FinishReason = "stop",
    tier_max_tokens: int | None = None,
) -> Verdict:
    """What the checks say of one answer."""
    asked = request or ask()
    validators = checks if isinstance(checks, Validators) else Validators.compile([checks], asked)
    choice = Choice(content=content, tool_calls=tool_calls, finish_reason=finish)
    return validators.check(asked, choice, tier_max_tokens=tier_max_tokens)
