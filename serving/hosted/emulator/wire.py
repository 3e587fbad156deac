"""The shape of requests to Anthropic's Messages API. Unknown fields are an error everywhere, as
they are there.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from serving.hosted.models import Effort


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CacheControl(Shape):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class Cacheable(Shape):
    cache_control: CacheControl | None = None


class TextBlock(Cacheable):
    type: Literal["text"]
    text: str
    citations: list[dict[str, Any]] | None = None


class Base64Image(Shape):
    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class UrlSource(Shape):
    type: Literal["url"]
    url: str


class ImageBlock(Cacheable):
    type: Literal["image"]
    source: Annotated[Base64Image | UrlSource, Field(discriminator="type")]


class Base64Pdf(Shape):
    type: Literal["base64"]
    media_type: Literal["application/pdf"]
    data: str


class PlainText(Shape):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class DocumentBlock(Cacheable):
    type: Literal["document"]
    source: Annotated[Base64Pdf | PlainText | UrlSource, Field(discriminator="type")]
    title: str | None = Field(default=None, min_length=1, max_length=500)
    context: str | None = Field(default=None, min_length=1)
    citations: dict[str, Any] | None = None


class ThinkingBlock(Shape):
    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinkingBlock(Shape):
    type: Literal["redacted_thinking"]
    data: str


ToolId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


class ToolUseBlock(Cacheable):
    type: Literal["tool_use"]
    id: ToolId
    name: ToolName
    input: dict[str, Any]
    caller: dict[str, Any] | None = None


def _as_blocks(value: Any) -> Any:
    """Text is shorthand for one text block."""
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


ResultContent = Annotated[TextBlock | ImageBlock | DocumentBlock, Field(discriminator="type")]


class ToolResultBlock(Cacheable):
    type: Literal["tool_result"]
    tool_use_id: ToolId
    content: Annotated[list[ResultContent], BeforeValidator(_as_blocks)] = Field(
        default_factory=list
    )
    is_error: bool | None = None


Content = Annotated[
    TextBlock
    | ImageBlock
    | DocumentBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock,
    Field(discriminator="type"),
]


class MessageParam(Shape):
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Content], BeforeValidator(_as_blocks)]


class ToolParam(Cacheable):
    name: ToolName
    input_schema: dict[str, Any]
    type: Literal["custom"] | None = None
    description: str | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[dict[str, Any]] | None = None


class ChoiceAuto(Shape):
    type: Literal["auto"]
    disable_parallel_tool_use: bool = False


class ChoiceAny(Shape):
    type: Literal["any"]
    disable_parallel_tool_use: bool = False


class ChoiceTool(Shape):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


class ChoiceNone(Shape):
    type: Literal["none"]


Display = Literal["summarized", "omitted"]


class ThinkingAdaptive(Shape):
    type: Literal["adaptive"]
    display: Display | None = None


class ThinkingEnabled(Shape):
    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1_024)
    display: Display | None = None


class ThinkingDisabled(Shape):
    type: Literal["disabled"]


class ThinkingBetweenTools(Shape):
    type: Literal["between_tools"]


class JsonFormat(Shape):
    model_config = ConfigDict(protected_namespaces=())
    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(Shape):
    effort: Effort | None = None
    format: JsonFormat | None = None


class Metadata(Shape):
    user_id: str | None = Field(default=None, max_length=256)


class Diagnostics(Shape):
    previous_message_id: str | None = None


class Prompt(Shape):
    """What is counted and cached: the fields that `count_tokens` takes too."""

    model: str = Field(min_length=1, max_length=256)
    messages: list[MessageParam] = Field(min_length=1, max_length=100_000)
    system: Annotated[list[TextBlock], BeforeValidator(_as_blocks)] = Field(default_factory=list)
    tools: list[ToolParam] = Field(default_factory=list)
    tool_choice: (
        Annotated[ChoiceAuto | ChoiceAny | ChoiceTool | ChoiceNone, Field(discriminator="type")]
        | None
    ) = None
    thinking: (
        Annotated[
            ThinkingAdaptive | ThinkingEnabled | ThinkingDisabled | ThinkingBetweenTools,
            Field(discriminator="type"),
        ]
        | None
    ) = None
    output_config: OutputConfig = OutputConfig()
    cache_control: CacheControl | None = None
    speed: Literal["standard"] | None = None

    @property
    def effort(self) -> Effort | None:
        return self.output_config.effort

    @property
    def forced_tool(self) -> bool:
        return isinstance(self.tool_choice, ChoiceAny | ChoiceTool)


class MessagesRequest(Prompt):
    """The body of `POST /v1/messages` under version 2026-10-21."""

    max_tokens: int = Field(ge=0)
    stream: bool = False
    stop_sequences: list[str] = Field(default_factory=list)
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    inference_geo: Literal["us", "global"] | None = None
    diagnostics: Diagnostics | None = None


class OldMessagesRequest(MessagesRequest):
    """Under version 2023-06-01, which still takes sampling parameters."""

    temperature: float | int | None = Field(default=None, ge=0, le=1)
    top_p: float | int | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
