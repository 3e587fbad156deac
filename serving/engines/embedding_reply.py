"""OpenAI's answer to an embeddings request, as any server gives it, read strictly."""

import binascii
from base64 import b64decode
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field, ValidationError

from serving.engines.embedding import checked
from serving.errors import TierProtocolError
from serving.settings.tiers import TierSettings
from serving.wire.completion import Usage
from serving.wire.embeddings import Embeddings, vector


class _Item(BaseModel):
    index: int
    embedding: Any


class _Usage(BaseModel):
    prompt_tokens: int = 0


class _Reply(BaseModel):
    data: Annotated[list[_Item], Field(fail_fast=True)]
    model: str | None = None
    usage: _Usage | None = None


def read_embeddings(tier: TierSettings, data: bytes, expected: int) -> Embeddings:
    """The vectors of `expected` inputs, which came as base64 of little-endian float32 or as lists
    of numbers; `TierProtocolError` where it is not that. A usage that is missing is 0.
    """
    try:
        reply = _Reply.model_validate(orjson.loads(data))
        found = {item.index: _vector(item.embedding) for item in reply.data}
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "answer"
        raise TierProtocolError(f"{tier.name}: {where}: {first['msg']}") from None
    except (ValueError, TypeError, OverflowError):
        raise TierProtocolError(f"{tier.name}: the answer cannot be read") from None
    vectors = [found[i] for i in range(expected) if i in found]
    counted = reply.usage.prompt_tokens if reply.usage is not None else 0
    return Embeddings(
        model=reply.model or tier.model,
        vectors=checked(tier.name, vectors, expected),
        usage=Usage(prompt_tokens=counted),
    )


def _vector(found: object) -> bytes:
    """`TypeError` or `ValueError` for what is no vector."""
    if isinstance(found, str):
        try:
            return b64decode(found, validate=True)
        except binascii.Error:
            raise ValueError("not base64") from None
    if isinstance(found, list):
        return vector(found)
    raise TypeError("neither base64 nor numbers")
