"""Checks that follow from the request itself and from its task."""

from router.validators.base import Validators
from serving.settings.tasks import TaskSettings
from serving.settings.validation import (
    Json,
    JsonSchema,
    NoRefusal,
    NotEmpty,
    NotTruncated,
    ToolArguments,
    ValidatorSpec,
)
from serving.wire.chat import ChatRequest


def implied_specs(request: ChatRequest) -> tuple[ValidatorSpec, ...]:
    """What any answer to `request` must satisfy, whatever its task."""
    specs: list[ValidatorSpec] = [
        NotEmpty(kind="not_empty"),
        NoRefusal(kind="no_refusal"),
        NotTruncated(kind="not_truncated"),
    ]
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_object":
        specs.append(Json(kind="json", object=True))
    if wanted is not None and wanted.json_schema is not None:
        schema = wanted.json_schema.json_schema
        specs.append(
            Json(kind="json") if schema is None else JsonSchema(kind="json_schema", schema=schema)
        )
    if request.tools:
        specs.append(ToolArguments(kind="tool_arguments"))
    return tuple(specs)


def request_specs(request: ChatRequest, task: TaskSettings) -> tuple[ValidatorSpec, ...]:
    """Implied, then the task's, then the request's own specs, each once."""
    found: list[ValidatorSpec] = []
    for spec in (*implied_specs(request), *task.validators, *request.options.validators):
        if spec not in found:
            found.append(spec)
    return tuple(found)


def for_request(request: ChatRequest, task: TaskSettings) -> Validators:
    """All validators of one request, ready to ask; `InvalidRequest` as in `Validators.compile`."""
    return Validators.compile(request_specs(request, task), request)
