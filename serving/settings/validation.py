"""Specifications of deterministic validators, per task in the config and per request.

The checks themselves are in `router/validators/`. Sizes are bounded here, before any pattern or
schema is compiled; patterns are RE2 and schemas are compiled without network access.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from serving.settings.base import Frozen, Share

MAX_PATTERN_CHARS = 1_000
MAX_WORDS = 200
MAX_VALIDATORS = 20

Word = Annotated[str, Field(min_length=1, max_length=200)]


class NotEmpty(Frozen):
    """The answer has visible text or a tool call."""

    kind: Literal["not_empty"]


class NotTruncated(Frozen):
    """The answer did not end at a limit on its length that Stepwell or the tier set."""

    kind: Literal["not_truncated"]


class NoRefusal(Frozen):
    """The answer does not refuse, by finish reason, refusal field or opening phrase."""

    kind: Literal["no_refusal"]


class NoRepetition(Frozen):
    """At most `max_share` of the answer's word n-grams repeat an earlier one."""

    kind: Literal["no_repetition"]
    ngram: int = Field(default=4, ge=1, le=10)
    max_share: Share = 0.5


class Json(Frozen):
    """The whole answer is one JSON value; `object` also demands an object."""

    kind: Literal["json"]
    object: bool = False


class JsonSchema(Frozen):
    """The whole answer is JSON that satisfies `schema`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    kind: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class ToolArguments(Frozen):
    """Each tool call names an offered tool and its arguments satisfy that tool's schema."""

    kind: Literal["tool_arguments"]


class Regex(Frozen):
    """An RE2 pattern is found in the answer (`mode: search`) or spans it (`mode: full`)."""

    kind: Literal["regex"]
    pattern: str = Field(min_length=1, max_length=MAX_PATTERN_CHARS)
    mode: Literal["search", "full"] = "search"
    negate: bool = False


class Length(Frozen):
    """Bounds on the answer's length in characters and words."""

    kind: Literal["length"]
    min_chars: int = Field(default=0, ge=0)
    max_chars: int | None = Field(default=None, ge=1)
    min_words: int = Field(default=0, ge=0)
    max_words: int | None = Field(default=None, ge=1)


class Words(Frozen):
    """Words or phrases the answer must and must not hold, case-insensitive, on word borders."""

    kind: Literal["words"]
    required: tuple[Word, ...] = Field(default=(), max_length=MAX_WORDS)
    forbidden: tuple[Word, ...] = Field(default=(), max_length=MAX_WORDS)


ValidatorSpec = Annotated[
    NotEmpty
    | NotTruncated
    | NoRefusal
    | NoRepetition
    | Json
    | JsonSchema
    | ToolArguments
    | Regex
    | Length
    | Words,
    Field(discriminator="kind"),
]
