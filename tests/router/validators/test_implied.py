"""Checks that follow from the request."""

from typing import Any

import pytest

from router.validators.implied import for_request, implied_specs, request_specs
from serving.errors import InvalidRequest
from serving.settings.tasks import TaskSettings
from tests.router.validators.asking import ask, spec, tool, verdict

ALWAYS = ["not_empty", "no_refusal", "not_truncated"]
SCHEMA = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({}, []),
        ({"response_format": {"type": "text"}}, []),
        ({"response_format": {"type": "json_object"}}, ["json"]),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            ["json"],
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA},
                }
            },
            ["json_schema"],
        ),
        ({"tools": [tool("f")]}, ["tool_arguments"]),
        ({"tools": []}, []),
    ],
)
def test_the_request_implies_checks(fields: dict[str, Any], kinds: list[str]) -> None:
    assert [s.kind for s in implied_specs(ask(**fields))] == ALWAYS + kinds


def test_json_mode_demands_an_object() -> None:
    request = ask(response_format={"type": "json_object"})
    validators = for_request(request, TaskSettings(name="t"))
    assert not verdict(validators, "[1]", request).passed
    assert verdict(validators, "{}", request).passed


def test_task_and_request_add_their_own_once() -> None:
    task = TaskSettings(
        name="t", validators=(spec("no_refusal"), spec("length", max_chars=9), spec("json"))
    )
    own = [{"kind": "json"}, {"kind": "json", "object": True}]
    found = request_specs(ask(stepwell={"validators": own}), task)
    assert [s.spec.kind for s in found] == [*ALWAYS, "length", "json", "json"]
    assert [s.param for s in found[-2:]] == [None, "stepwell.validators.1"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {"stepwell": {"validators": [{"kind": "json"}, {"kind": "regex", "pattern": "("}]}},
            "stepwell.validators.1",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "nonsense"}},
                }
            },
            "response_format.json_schema.schema",
        ),
    ],
)
def test_a_refusal_names_the_field_that_is_at_fault(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        for_request(ask(**fields), TaskSettings(name="t"))
    assert caught.value.param == param


def test_a_tools_bad_schema_is_refused_before_any_tier_is_asked() -> None:
    request = ask(tools=[tool("ok"), tool("f", {"type": "nonsense"})])
    with pytest.raises(InvalidRequest) as caught:
        for_request(request, TaskSettings(name="t"))
    assert caught.value.param == "tools.1.function.parameters"
    assert "not a JSON Schema at #/type" in caught.value.message


def test_a_schema_format_is_checked() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    request = ask(response_format=wanted)
    validators = for_request(request, TaskSettings(name="t"))
    assert verdict(validators, '{"a": 1}', request).passed
    assert "'a'" in verdict(validators, "{}", request).reason
