"""API keys, stored as SHA-256 digests. `stepwell hash-key` makes a key and its entry."""

from typing import Annotated, Literal

from pydantic import Field

from serving.settings.base import Frozen, Name

KeyDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Scope = Literal["chat", "embeddings", "models", "metrics", "usage"]


class KeyLimits(Frozen):
    """Limits of one key; null is no limit of its own."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    max_concurrent: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    max_tier: Name | None = None


class KeySettings(Frozen):
    """One key. Keys are long and random, so a fast hash is enough; `hash-key` refuses others."""

    id: Name
    tenant: Name
    hash: KeyDigest
    scopes: tuple[Scope, ...] = ("chat", "embeddings", "models")
    limits: KeyLimits = KeyLimits()
    disabled: bool = False


class Anonymous(Frozen):
    """Who a request without a key is, where no keys are configured (loopback only)."""

    tenant: Name = "default"
