"""The body of `POST /v1/batches`, checked as OpenAI documents it."""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from serving.batch.values import ENDPOINTS
from serving.wire.chat import METADATA_KEY_CHARS, METADATA_PAIRS, METADATA_VALUE_CHARS

WINDOW = re.compile(r"([1-9][0-9]{0,3})([mh])")
LONGEST = timedelta(days=7)
MIN_TTL_S, MAX_TTL_S = 3_600, 2_592_000


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpiresAfter(Strict):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=MIN_TTL_S, le=MAX_TTL_S)


def window(text: str) -> timedelta:
    """`24h` and the like; `ValueError` for what is no such span, or beyond 7 days."""
    found = WINDOW.fullmatch(text)
    if found is None:
        raise ValueError("write 24h, or another number of hours (h) or minutes (m)")
    span = timedelta(**{{"h": "hours", "m": "minutes"}[found[2]]: int(found[1])})
    if span > LONGEST:
        raise ValueError(f"at most {LONGEST.days} days are allowed")
    return span


def _window(text: str) -> str:
    window(text)
    return text


def _endpoint(text: str) -> str:
    if text not in ENDPOINTS:
        raise ValueError(f"batches are served for {', '.join(ENDPOINTS)}")
    return text


Key = Annotated[str, Field(max_length=METADATA_KEY_CHARS)]
Value = Annotated[str, Field(max_length=METADATA_VALUE_CHARS)]


class CreateBatch(Strict):
    input_file_id: str
    endpoint: Annotated[str, AfterValidator(_endpoint)]
    completion_window: Annotated[str, AfterValidator(_window)]
    metadata: Annotated[dict[Key, Value], Field(max_length=METADATA_PAIRS)] | None = None
    output_expires_after: ExpiresAfter | None = None
