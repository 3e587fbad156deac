"""OpenAI's chat request. Unknown fields are kept on every level, so that what a client or a
provider put there (thinking blocks, signatures, breakpoints) reaches a tier that can use it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from serving.settings.base import Name
from serving.settings.validation import MAX_VALIDATORS, ValidatorSpec

METADATA_PAIRS = 16
METADATA_KEY_CHARS = 64
METADATA_VALUE_CHARS = 512


class Open(BaseModel):
    """Immutable; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ContentPart(Open):
    """One part of a message: `text`, `image_url`, `input_audio`, `file`, `refusal`, or another."""

    type: str
    text: str | None = None

    @model_validator(mode="after")
    def _text(self) -> "ContentPart":
        if self.type == "text" and self.text is None:
            raise ValueError("a part of type 'text' needs 'text'")
        return self


class FunctionCall(Open):
    """`arguments` is JSON text, as the model wrote it."""

    name: str
    arguments: str


class ToolCall(Open):
    id: str
    type: str = "function"
    function: FunctionCall | None = None


class Message(Open):
    """One message. `provider_content` carries an assistant turn's blocks as the provider returned
    them: `{"provider": "anthropic", "model": …, "content": [blocks]}`; see `docs/api.md`.
    """

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    provider_content: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Message":
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role 'tool' needs 'tool_call_id'")
        if self.content is None and self.role in {"system", "developer", "user", "tool"}:
            raise ValueError(f"a message of role '{self.role}' needs 'content'")
        return self

    @property
    def text(self) -> str:
        """The text of the message, its parts joined by newlines; other parts left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(p.text for p in self.content or () if p.text is not None)


class FunctionDefinition(Open):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Open):
    type: str
    function: FunctionDefinition | None = None

    @model_validator(mode="after")
    def _function(self) -> "Tool":
        if self.type == "function" and self.function is None:
            raise ValueError("a tool of type 'function' needs 'function'")
        return self


class NamedFunction(Open):
    name: str


class NamedToolChoice(Open):
    type: Literal["function"]
    function: NamedFunction


class SchemaFormat(Open):
    """`json_schema` of a response format; its schema is under the wire name `schema`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Open):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None

    @model_validator(mode="after")
    def _schema(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("a response_format of type 'json_schema' needs 'json_schema'")
        return self


class StreamOptions(Open):
    include_usage: bool | None = None


CacheTag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]


class StepwellOptions(BaseModel):
    """Stepwell's own knobs of one request; unknown ones are an error. `max_tier` bounds the climb,
    `validators` come on top of the task's. `cache_tags` and `document_version` say what a cached
    answer rests on, so that it can be invalidated by it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    explain: bool = False
    cache: bool | None = None
    task: Name | None = None
    feature: Name | None = None
    session: Annotated[str, Field(max_length=128)] | None = None
    step: Annotated[str, Field(max_length=128)] | None = None
    max_tier: Name | None = None
    deadline_ms: int | None = Field(default=None, ge=1, le=86_400_000)
    cache_tags: tuple[CacheTag, ...] = Field(default=(), max_length=16)
    document_version: CacheTag | None = None
    validators: tuple[ValidatorSpec, ...] = Field(default=(), max_length=MAX_VALIDATORS)


NO_OPTIONS = StepwellOptions()


class ChatRequest(Open):
    """The body of `POST /v1/chat/completions`. `model` is `auto` or a tier's name. Lists stop at
    their first fault: a body of 100,000 wrong items must not cost 100,000 error records.
    """

    model: str
    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(min_length=1)
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = None
    n: int | None = Field(default=None, ge=1)
    seed: int | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    stepwell: StepwellOptions | None = None

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        if value is None:
            return None
        if len(value) > METADATA_PAIRS:
            raise ValueError(f"at most {METADATA_PAIRS} pairs are allowed, got {len(value)}")
        for key, text in value.items():
            if len(key) > METADATA_KEY_CHARS:
                raise ValueError(f"a key may have {METADATA_KEY_CHARS} characters at most")
            if len(text) > METADATA_VALUE_CHARS:
                raise ValueError(f"{key!r} may have {METADATA_VALUE_CHARS} characters at most")
        return value

    @field_validator("stop")
    @classmethod
    def _stop(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > 4:
            raise ValueError("at most 4 stop sequences are allowed")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if isinstance(self.tool_choice, NamedToolChoice):
            offered = {t.function.name for t in self.tools or () if t.function}
            if self.tool_choice.function.name not in offered:
                raise ValueError("tool_choice names a function that is not among tools")
        return self

    @property
    def options(self) -> StepwellOptions:
        return self.stepwell or NO_OPTIONS

    @property
    def choices_asked(self) -> int:
        return self.n or 1

    @property
    def output_limit(self) -> int | None:
        """The client's own limit on output tokens, None where it set none."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stop_sequences(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def last_user_text(self) -> str:
        """The text of the last user message, empty where there is none."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")

    def wire(self) -> dict[str, Any]:
        """The body as the client sent it: set fields only, unknown ones too, `stepwell` not."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"stepwell"}, by_alias=True)
