from typing import Any

import pytest

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.validate import check_request, parse_messages, parse_prompt
from serving.hosted.models import catalog
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS, SONNET, SONNET_5

NOW, OLD = "2026-10-21", "2023-06-01"
USER = {"role": "user", "content": "Hi"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}


def body(model: str = OPUS, **fields: Any) -> dict[str, Any]:
    base = {"model": model, "max_tokens": 100, "messages": [USER]}
    return {k: v for k, v in (base | fields).items() if v is not ...}


def check(version: str = NOW, **fields: Any) -> None:
    request = parse_messages(body(**fields), version)
    check_request(request, catalog().ability(request.model))


def refusal(version: str = NOW, **fields: Any) -> str:
    with pytest.raises(ApiError) as caught:
        check(version, **fields)
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
@pytest.mark.parametrize("model", [OPUS, OLD_HAIKU])
def test_trap_sampling_parameters_are_refused_on_every_model(name: str, model: str) -> None:
    fields: dict[str, Any] = {name: 1}
    assert refusal(model=model, **fields) == f"{name}: Extra inputs are not permitted"
    check(OLD, model=model, **fields)


@pytest.mark.parametrize("name", ["temperature", "top_p", "max_tokens", "stream"])
def test_count_tokens_takes_the_prompt_only(name: str) -> None:
    with pytest.raises(ApiError, match=f"{name}: Extra inputs"):
        parse_prompt({"model": OPUS, "messages": [USER], name: 1})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": "10"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 128_001}, "128001 > 128000"),
        ({"model": ...}, "model: Field required"),
        ({"messages": ...}, "messages: Field required"),
        ({"messages": []}, "messages: "),
        ({"n": 2}, "n: Extra inputs are not permitted"),
        ({"messages": [{**USER, "name": "x"}]}, "messages.0.name: Extra inputs"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"metadata": {"user_id": "u", "x": 1}}, "metadata.x: Extra inputs"),
        ({"stop_sequences": ["ok", "\n"]}, "stop_sequences.1"),
        ({"cache_control": {"type": "forever"}}, "cache_control.type"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
    ],
)
def test_the_shape(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(**fields)


@pytest.mark.parametrize("value", [[], "text", 3, None])
def test_a_body_that_is_no_object(value: Any) -> None:
    with pytest.raises(ApiError, match="JSON object"):
        parse_messages(value, NOW)


def forced(kind: str) -> dict[str, Any]:
    choice = {"type": kind} | ({"name": "f"} if kind == "tool" else {})
    return {"tools": [TOOL], "tool_choice": choice}


@pytest.mark.parametrize("model", [OPUS, SONNET, "claude-fable-5-1"])
@pytest.mark.parametrize("kind", ["any", "tool"])
def test_trap_forced_tool_choice_is_refused_by_the_newest_models(model: str, kind: str) -> None:
    assert "not supported for this model" in refusal(model=model, **forced(kind))
    check(model=HAIKU, **forced(kind))
    check(model=model, tools=[TOOL], tool_choice={"type": "auto"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tool_choice": {"type": "auto"}}, "while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "'g' not found"),
        ({"tools": [TOOL, TOOL]}, "unique"),
        ({"tools": [{**TOOL, "input_schema": {"type": "array"}}]}, "input_schema.type"),
        (
            {"tools": [{**TOOL, "input_schema": {"type": "object", "anyOf": []}}]},
            "does not support anyOf",
        ),
        ({"tools": [{**TOOL, "strict": True}]}, "additionalProperties"),
        ({"tools": [{"name": "sp ace", "input_schema": {}}]}, "tools.0.name"),
    ],
)
def test_tools(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(model=HAIKU, **fields)


def test_a_strict_tool_with_a_closed_schema_is_accepted() -> None:
    check(tools=[{**TOOL, "strict": True, "input_schema": CLOSED}])


def control(ttl: str | None = None) -> dict[str, Any]:
    return {"cache_control": {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})}


def texts(*ttls: str | None) -> list[dict[str, Any]]:
    blocks = [{"type": "text", "text": "x", **(control(t) if t else {})} for t in ttls]
    return [{"role": "user", "content": blocks}]


def test_trap_14317_more_than_four_breakpoints() -> None:
    check(messages=texts("5m", "5m", "5m", "5m"))
    assert "Found 5" in refusal(messages=texts("5m", "5m", "5m", "5m", "5m"))
    assert "Found 5" in refusal(messages=texts("5m", "5m", "5m"), tools=[TOOL | control()],
                                **control())  # fmt: skip


def test_one_hour_must_come_before_five_minutes() -> None:
    check(messages=texts("1h", None, "5m"))
    message = refusal(messages=texts("5m", "1h"))
    assert message.startswith("messages.0.content.1.cache_control.ttl")
    assert "must not come after" in refusal(tools=[TOOL | control()], messages=texts("1h"))
    assert "must not come after" in refusal(messages=texts("5m"), **control("1h"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stream": True}, "stream"),
        ({"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}}, "format"),
        (forced("any"), "tool_choice"),
        ({"messages": texts(None), **control()}, "explicit"),
    ],
)
def test_warming_the_cache_has_rules_of_its_own(fields: dict[str, Any], message: str) -> None:
    check(model=HAIKU, max_tokens=0, messages=texts("5m"))
    fields = {"messages": texts("5m")} | fields
    assert message in refusal(model=HAIKU, max_tokens=0, **fields)


def test_the_output_schema_is_checked() -> None:
    schema = CLOSED | {"properties": {"a": {"type": "integer", "minimum": 1}}}
    message = refusal(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert "'minimum' is not supported" in message
    assert message.startswith("output_config.format.schema.properties.a")


def test_an_empty_system_block_is_refused() -> None:
    assert "system.0" in refusal(system=[{"type": "text", "text": ""}])
    check(system="You are terse.", model=SONNET_5)
