"""What the real API refuses, refused here."""

from typing import Any, TypeVar

from pydantic import ValidationError

from serving.hosted.emulator.errors import from_validation, invalid
from serving.hosted.emulator.positions import UNCACHEABLE
from serving.hosted.emulator.schema_check import check_schema
from serving.hosted.emulator.sequence import check_messages, check_text
from serving.hosted.emulator.thinking import check_thinking
from serving.hosted.emulator.wire import (
    CacheControl,
    ChoiceTool,
    MessagesRequest,
    OldMessagesRequest,
    Prompt,
)
from serving.hosted.models import ModelAbility

CURRENT = "2026-10-21"
SHAPES: dict[str, type[MessagesRequest]] = {
    CURRENT: MessagesRequest,
    "2023-06-01": OldMessagesRequest,
}
MAX_BREAKPOINTS = 4

_P = TypeVar("_P", bound=Prompt)


def parse_messages(body: Any, version: str) -> MessagesRequest:
    """The request in its shape, or the 400 that names the field at fault."""
    return _parse(SHAPES[version], body)


def parse_prompt(body: Any) -> Prompt:
    """The body of `count_tokens`."""
    return _parse(Prompt, body)


def check_request(request: MessagesRequest, ability: ModelAbility) -> None:
    """Everything beyond the shape: what this model does not take, and what contradicts itself."""
    if request.max_tokens > ability.max_output:
        raise invalid(
            f"max_tokens: {request.max_tokens} > {ability.max_output}, which is the maximum"
            f" allowed number of output tokens for {request.model}"
        )
    if request.max_tokens == 0:
        _check_warming(request)
    for i, stop in enumerate(request.stop_sequences):
        if not stop.strip():
            raise invalid(f"stop_sequences.{i}: each stop sequence must contain non-whitespace")
    check_prompt(request, ability, request.max_tokens)


def check_batched(request: MessagesRequest) -> None:
    """What a request of a batch must not ask for."""
    if request.stream:
        raise invalid("stream: streaming is not supported in message batches")
    if request.max_tokens == 0:
        raise invalid("max_tokens: 0 is not supported in message batches")


def check_prompt(prompt: Prompt, ability: ModelAbility, max_tokens: int | None = None) -> None:
    """The rules that `count_tokens` applies too."""
    check_thinking(prompt, ability, max_tokens)
    _check_tools(prompt)
    if prompt.output_config.format is not None:
        check_schema(prompt.output_config.format.json_schema, "output_config.format.schema")
    for i, block in enumerate(prompt.system):
        check_text(block.text, f"system.{i}")
    check_messages(prompt, ability)
    _check_breakpoints(prompt)


def _parse(shape: type[_P], body: Any) -> _P:
    if not isinstance(body, dict):
        raise invalid("the request body must be a JSON object")
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise from_validation(error) from None


def _check_warming(request: MessagesRequest) -> None:
    """`max_tokens: 0` fills the prompt cache and answers nothing."""
    explicit = any(control for _, control in _controls(request))
    excluded = {
        "stream": request.stream,
        "output_config.format": request.output_config.format is not None,
        "tool_choice": request.forced_tool,
    }
    for name, present in excluded.items():
        if present:
            raise invalid(f"{name}: not allowed with max_tokens of 0")
    if not explicit:
        raise invalid("max_tokens: 0 needs an explicit cache_control breakpoint")


def _check_tools(prompt: Prompt) -> None:
    names = [t.name for t in prompt.tools]
    if len(set(names)) != len(names):
        raise invalid("tools: Tool names must be unique.")
    for i, tool in enumerate(prompt.tools):
        where, schema = f"tools.{i}.custom.input_schema", tool.input_schema
        if schema.get("type") != "object":
            raise invalid(f"{where}.type: Input should be 'object'")
        for keyword in ("oneOf", "allOf", "anyOf"):
            if keyword in schema:
                raise invalid(f"{where}: input_schema does not support {keyword} at the top level")
        if tool.strict:
            check_schema(schema, where)
    if prompt.tool_choice is not None and not prompt.tools:
        raise invalid("tool_choice: tool_choice may only be specified while providing tools.")
    if isinstance(prompt.tool_choice, ChoiceTool) and prompt.tool_choice.name not in names:
        raise invalid(f"tool_choice: Tool '{prompt.tool_choice.name}' not found in provided tools")


def _check_breakpoints(prompt: Prompt) -> None:
    controls = [(where, c) for where, c in _controls(prompt) if c is not None]
    if prompt.cache_control is not None:
        controls.append(("cache_control", prompt.cache_control))
    if len(controls) > MAX_BREAKPOINTS:
        raise invalid(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided."
            f" Found {len(controls)}."
        )
    short = False
    for where, control in controls:
        short = short or control.ttl == "5m"
        if short and control.ttl == "1h":
            raise invalid(
                f"{where}.cache_control.ttl: a ttl='1h' cache_control block must not come after a"
                " ttl='5m' cache_control block. Blocks are processed in the order `tools`,"
                " `system`, `messages`."
            )
    if prompt.cache_control is not None:
        _check_automatic(prompt, prompt.cache_control)


def _check_automatic(prompt: Prompt, control: CacheControl) -> None:
    """Automatic caching marks the last block; a mark that stands there already must agree."""
    blocks = [b for m in prompt.messages for b in m.content]
    marked = [getattr(b, "cache_control", None) for b in blocks if b.type not in UNCACHEABLE]
    if marked and marked[-1] is not None and marked[-1].ttl != control.ttl:
        raise invalid(
            f"cache_control.ttl: {control.ttl} contradicts the cache_control of the last block,"
            f" which has {marked[-1].ttl}"
        )


def _controls(prompt: Prompt) -> list[tuple[str, CacheControl | None]]:
    """Every place that may carry a breakpoint, in the order of the prefix."""
    found = [(f"tools.{i}", t.cache_control) for i, t in enumerate(prompt.tools)]
    found += [(f"system.{i}", b.cache_control) for i, b in enumerate(prompt.system)]
    for i, message in enumerate(prompt.messages):
        for j, block in enumerate(message.content):
            control = getattr(block, "cache_control", None)
            found.append((f"messages.{i}.content.{j}", control))
    return found
