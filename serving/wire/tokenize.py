"""`/tokenize` and `/detokenize` as vLLM's server has them: tokens of a text or chat, and back."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serving.wire.chat import ChatRequest, Message, Tool
from serving.wire.embeddings import MAX_TOKEN_ID

_OF_CHATS = ("tools", "add_generation_prompt", "continue_final_message", "chat_template_kwargs")

TokenId = Annotated[int, Field(strict=True, ge=0, le=MAX_TOKEN_ID)]


class _Closed(BaseModel):
    """Immutable; an unknown field is an error, since nothing here may be dropped unsaid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "auto"


class TokenizeRequest(_Closed):
    """Of a `prompt`, or of `messages` with `tools` as the model's chat template writes them.
    `add_special_tokens` and the flags of the template default to what vLLM's own defaults are.
    """

    prompt: str | None = None
    messages: Annotated[list[Message], Field(fail_fast=True, min_length=1)] | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _one(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        if self.messages is None:
            for name in _OF_CHATS:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with messages only")
        elif self.continue_final_message and self.add_generation_prompt is not False:
            raise ValueError("continue_final_message needs add_generation_prompt: false")
        return self

    @property
    def chat(self) -> ChatRequest:
        """The chat whose tokens are asked for, where it is one."""
        assert self.messages is not None
        return ChatRequest(model=self.model, messages=self.messages, tools=self.tools)

    def options(self) -> dict[str, Any]:
        """What the client set, but for the model, the text and the tools."""
        own = {"model", "prompt", "messages", "tools"}
        return self.model_dump(mode="json", exclude=own, exclude_none=True)


class DetokenizeRequest(_Closed):
    tokens: Annotated[list[TokenId], Field(fail_fast=True)]


@dataclass(frozen=True, slots=True)
class Tokenized:
    """`max_model_len`: tokens of prompt and answer that the model takes. `simulated`: counted by a
    mock, which has no vocabulary; its ids tell tokens apart and mean nothing.
    """

    tokens: tuple[int, ...]
    max_model_len: int
    token_strs: tuple[str, ...] | None = None
    simulated: bool = False

    def wire(self, tier: str) -> dict[str, Any]:
        return {
            "count": len(self.tokens),
            "max_model_len": self.max_model_len,
            "tokens": self.tokens,
            "token_strs": self.token_strs,
            "stepwell": {"tier": tier, "simulated": self.simulated},
        }
