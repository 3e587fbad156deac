"""The body of `POST /v1/responses`, checked as OpenAI documents it.

What Stepwell does not have is refused by its name, never ignored, except where OpenAI itself would
do nothing about it.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from serving.wire.chat import ChatRequest, Open, StepwellOptions
from serving.wire.responses.items import Item

NAME = r"^[A-Za-z0-9_-]{1,64}$"
CHAT_ONLY = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "functions": "tools",
    "function_call": "tool_choice",
    "logprobs": "top_logprobs",
    "n": "several requests",
}
"""Parameters of chats, and what stands for them here."""

NO_OPS = frozenset(
    {
        "file_search_call.results",
        "web_search_call.action.sources",
        "web_search_call.results",
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "message.input_image.image_url",  # always there
    }
)
LOGPROBS = "message.output_text.logprobs"


def _unsupported(value: Any) -> None:
    if value is not None:
        raise PydanticCustomError("unsupported_parameter", "it is not supported")


Unsupported = Annotated[None, BeforeValidator(_unsupported)]


class FunctionTool(Open):
    type: str
    name: Annotated[str, Field(pattern=NAME)] | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    allowed_callers: Unsupported = None
    defer_loading: Unsupported = None
    output_schema: Unsupported = None

    @model_validator(mode="after")
    def _function(self) -> "FunctionTool":
        if self.type != "function":
            raise ValueError("only tools of type 'function' are supported")
        if self.name is None:
            raise ValueError("a tool of type 'function' needs 'name'")
        return self


class NamedChoice(Open):
    type: Literal["function"]
    name: str


class TextFormat(Open):
    """`json_schema` stands under the wire name `schema`."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(pattern=NAME)] | None = None
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _schema(self) -> "TextFormat":
        if self.type == "json_schema" and (self.name is None or self.json_schema is None):
            raise ValueError("a format of type 'json_schema' needs 'name' and 'schema'")
        return self


class TextConfig(Open):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Open):
    effort: str | None = None
    summary: Unsupported = None
    generate_summary: Unsupported = None
    context: Unsupported = None
    mode: Unsupported = None


class StreamOptions(Open):
    include_obfuscation: Literal[False] | None = None


class ResponseRequest(Open):
    """`model` is `auto` or a tier's name. Fields that neither OpenAI nor Stepwell knows go to the
    tiers, as a chat's do.
    """

    model: str
    input: str | Annotated[list[Item], Field(fail_fast=True)] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: Annotated[list[FunctionTool], Field(fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    max_tool_calls: int | None = Field(default=None, ge=1)  # of built-in tools; there are none
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "scale", "fast"] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    truncation: Literal["disabled"] | None = None
    stepwell: StepwellOptions | None = None
    access_programs: Unsupported = None
    background_options: Unsupported = None
    context_management: Unsupported = None
    conversation: Unsupported = None
    image: Unsupported = None
    moderation: Unsupported = None
    prompt: Unsupported = None

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        return ChatRequest._metadata(value)

    @field_validator("include")
    @classmethod
    def _include(cls, value: list[str] | None) -> list[str] | None:
        for name in value or ():
            if name != LOGPROBS and name not in NO_OPS:
                raise ValueError(f"{name[:64]!r} is not supported")
        return value

    @model_validator(mode="after")
    def _possible(self) -> "ResponseRequest":
        for name, instead in CHAT_ONLY.items():
            if name in (self.model_extra or {}):
                raise ValueError(f"{name} is a parameter of chats; use {instead}")
        if not self.input and not (self.input is None and self.previous_response_id):
            raise ValueError("a response needs 'input'")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if isinstance(self.tool_choice, NamedChoice):
            offered = {tool.name for tool in self.tools or ()}
            if self.tool_choice.name not in offered:
                raise ValueError("tool_choice names a function that is not among tools")
        return self

    @property
    def options(self) -> StepwellOptions:
        return self.stepwell or StepwellOptions()

    @property
    def logprobs_asked(self) -> int | None:
        """How many alternatives of each token, None where no logprobs are asked for."""
        if self.top_logprobs is not None:
            return self.top_logprobs
        return 0 if LOGPROBS in (self.include or ()) else None

    @property
    def kept(self) -> bool:
        """Whether it is to be stored, as it is unless the client says otherwise."""
        return self.store is not False
