"""Checks that follow from the request itself and from its task."""

from dataclasses import dataclass

from router.validators.answer import Check
from router.validators.base import Validators
from serving.errors import InvalidRequest
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

IMPLIED_BY = {
    "json": "response_format",
    "json_schema": "response_format.json_schema.schema",
}


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


@dataclass(frozen=True, slots=True)
class Sourced:
    """A spec and where it comes from: a request field, or None for the task's."""

    spec: ValidatorSpec
    param: str | None


def request_specs(request: ChatRequest, task: TaskSettings) -> tuple[Sourced, ...]:
    """Implied, then the task's, then the request's own specs, each once."""
    found: list[Sourced] = []
    sources = [Sourced(spec, IMPLIED_BY.get(spec.kind)) for spec in implied_specs(request)]
    sources += [Sourced(spec, None) for spec in task.validators]
    own = request.stepwell.validators if request.stepwell is not None else ()
    sources += [Sourced(spec, f"stepwell.validators.{i}") for i, spec in enumerate(own)]
    for sourced in sources:
        if all(sourced.spec != other.spec for other in found):
            found.append(sourced)
    return tuple(found)


def for_request(request: ChatRequest, task: TaskSettings) -> Validators:
    """All validators of one request, ready to ask; `InvalidRequest` as in `Validators.compile`,
    naming the request's field at fault.
    """
    return Validators(tuple(_compiled(s, request) for s in request_specs(request, task)))


def _compiled(sourced: Sourced, request: ChatRequest) -> Check:
    try:
        (check,) = Validators.compile([sourced.spec], request).checks
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param=sourced.param or error.param) from error
    return check
