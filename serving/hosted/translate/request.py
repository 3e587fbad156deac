"""An OpenAI chat request as the arguments of `client.messages.create`."""

import hashlib
from dataclasses import dataclass
from typing import Any

from serving.hosted.models import Catalog
from serving.hosted.translate.blocks import Block, text_block
from serving.hosted.translate.breakpoints import limit_breakpoints
from serving.hosted.translate.messages import conversation
from serving.hosted.translate.schema import acceptable
from serving.hosted.translate.thinking import plan_thinking
from serving.hosted.translate.tools import tool_choice, tools
from serving.wire.chat import ChatRequest

JSON_OBJECT = "Answer with one JSON object and nothing else: no code fence, no text around it."
MAX_USER_ID_CHARS = 256


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: `max_tokens` is the tier's limit on an answer, thinking excluded;
    `effort` is the tier's, for requests that name none.
    """

    model: str
    max_tokens: int
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class Translated:
    """`kwargs` for `messages.create` without `stream`; `dropped` names parameters that did not
    reach the model, `notes` says what was changed on the way.
    """

    kwargs: dict[str, Any]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def to_anthropic(
    request: ChatRequest, target: Target, catalog: Catalog, *, replay_thinking: bool = True
) -> Translated:
    """Pure; `request` is not modified. Raises `InvalidRequest` where the request contradicts
    itself and `TierRejected` where this model cannot take it.
    """
    ability = catalog.ability(target.model)
    talk = conversation(
        request.messages,
        mid_system=ability.mid_system,
        prefill=ability.prefill,
        thinking=replay_thinking,
    )
    defined, dropped = tools(request, talk.called)
    choice = tool_choice(request, ability, defined=bool(defined))
    plan = plan_thinking(
        request.reasoning_effort or target.effort,
        ability,
        catalog,
        forced_tool=choice is not None and choice["type"] in {"any", "tool"},
    )
    limit = min(request.output_limit or target.max_tokens, target.max_tokens)
    max_tokens = min(limit + plan.room, ability.max_output)
    kwargs: dict[str, Any] = {"model": target.model, "max_tokens": max_tokens}
    system = talk.system + _instructions(request)
    output, softened = _output_config(request, plan.effort)
    stops, dropped_stops = _stops(request)
    optional = {
        "system": system,
        "tools": defined,
        "tool_choice": choice,
        "thinking": plan.thinking,
        "output_config": output,
        "stop_sequences": stops,
        "metadata": _metadata(request),
        "cache_control": _automatic(request),
        "diagnostics": _diagnostics(request),
    }
    kwargs |= {key: value for key, value in optional.items() if value}
    kwargs["messages"] = talk.messages
    cached = limit_breakpoints(kwargs)
    over = ("cache_control",) if any("left out" in n for n in cached) else ()
    return Translated(
        kwargs, (*dropped, *dropped_stops, *talk.lost, *over), plan.notes + softened + cached
    )


def _instructions(request: ChatRequest) -> list[Block]:
    wanted = request.response_format
    return [text_block(JSON_OBJECT)] if wanted and wanted.type == "json_object" else []


def _output_config(
    request: ChatRequest, effort: str | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    config: dict[str, Any] = {"effort": effort} if effort else {}
    wanted = request.response_format
    if wanted is None or wanted.type != "json_schema" or wanted.json_schema is None:
        return config, ()
    found = acceptable(wanted.json_schema.json_schema or {})
    config["format"] = {"type": "json_schema", "schema": found.schema}
    notes = tuple(f"response_format: {path} became a description" for path in found.softened)
    return config, notes


def _stops(request: ChatRequest) -> tuple[list[str], tuple[str, ...]]:
    """Stop sequences need a visible character; others are dropped by their place."""
    given = request.stop_sequences
    kept = list(dict.fromkeys(s for s in given if s.strip()))
    return kept, tuple(f"stop[{i}]" for i, s in enumerate(given) if not s.strip())


def _metadata(request: ChatRequest) -> dict[str, str]:
    user = request.user or (request.model_extra or {}).get("safety_identifier")
    if not isinstance(user, str) or not user:
        return {}
    if len(user) > MAX_USER_ID_CHARS:
        user = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
    return {"user_id": user}


def _diagnostics(request: ChatRequest) -> Block | None:
    """Asks the API why its cache was not read. Set on the way to a tier, not by clients."""
    found = (request.model_extra or {}).get("diagnostics")
    if not isinstance(found, dict) or "previous_message_id" not in found:
        return None
    earlier = found["previous_message_id"]
    return {"previous_message_id": earlier} if earlier is None or isinstance(earlier, str) else None


def _automatic(request: ChatRequest) -> Block | None:
    """Top-level `cache_control`: the breakpoint at the last block, placed by the API."""
    found = (request.model_extra or {}).get("cache_control")
    if not isinstance(found, dict) or found.get("type") != "ephemeral":
        return None
    hour = found.get("ttl") == "1h"
    return {"type": "ephemeral", "ttl": "1h"} if hour else {"type": "ephemeral"}
