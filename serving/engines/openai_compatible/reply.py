"""The JSON that an OpenAI-compatible server answers with, as far as we read it.

Lenient where servers differ (nulls, missing ids, numbers as floats), strict where a wrong type
would spread: what does not fit raises `pydantic.ValidationError`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def _none_is_empty(value: Any) -> Any:
    return () if value is None else value


Count = Annotated[int, Field(ge=0), BeforeValidator(lambda v: 0 if v is None else v)]


class PromptDetails(Part):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0


class CompletionDetails(Part):
    reasoning_tokens: Count = 0


class UsageReply(Part):
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: Count = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class AlternativeReply(Part):
    token: str
    logprob: float


class TokenReply(AlternativeReply):
    top_logprobs: Annotated[tuple[AlternativeReply, ...], BeforeValidator(_none_is_empty)] = ()


class LogprobsReply(Part):
    content: Annotated[tuple[TokenReply, ...], BeforeValidator(_none_is_empty)] = ()


class FunctionReply(Part):
    """`arguments` is JSON text; some servers send the value itself."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallReply(Part):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionReply | None = None


class MessageReply(BaseModel):
    """A whole message, or in a chunk a piece of one. Unknown fields are kept: some must come back
    unchanged in the next turn.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    role: str | None = None
    content: str | tuple[dict[str, Any], ...] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: Annotated[tuple[CallReply, ...], BeforeValidator(_none_is_empty)] = ()

    @property
    def text(self) -> str | None:
        """The text; that of a list of parts joined."""
        if self.content is None or isinstance(self.content, str):
            return self.content
        texts = [p.get("text") for p in self.content if p.get("type") == "text"]
        return "".join(t for t in texts if isinstance(t, str))

    @property
    def thoughts(self) -> str | None:
        return self.reasoning_content or self.reasoning

    @property
    def unknown(self) -> dict[str, Any]:
        """The fields beside ours that hold something."""
        extra = self.model_extra or {}
        return {k: v for k, v in extra.items() if v is not None and v not in ([], {}, "")}


class ChoiceReply(Part):
    index: int = 0
    message: MessageReply | None = None
    delta: MessageReply | None = None
    logprobs: LogprobsReply | None = None
    finish_reason: str | None = None


class Reply(Part):
    """A completion or a chunk of one."""

    id: str | None = None
    created: float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    choices: Annotated[tuple[ChoiceReply, ...], BeforeValidator(_none_is_empty)] = ()
    usage: UsageReply | None = None
