"""Results of hosted batches as they are kept until their lines have gone on."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from pydantic import TypeAdapter

from serving import errors
from serving.batches import BatchResult, LineState
from serving.errors import StepwellError
from serving.wire.completion import Completion


@dataclass(frozen=True, slots=True)
class _Error:
    kind: str
    message: str
    param: str | None
    code: str | None
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class _Packed:
    custom_id: str
    state: LineState
    completion: Completion | None
    error: _Error | None
    cost_usd: Decimal | None


def pack(result: BatchResult) -> bytes:
    """JSON; `unpack` gives an equal result back, its error of the same class."""
    error = result.error
    kept = None
    if error is not None:
        kept = _Error(
            type(error).__name__, error.message, error.param, error.code, error.retry_after
        )
    made = _Packed(result.custom_id, result.state, result.completion, kept, result.cost_usd)
    # Not by pydantic or orjson, which take no half of a surrogate pair.
    return json.dumps(_adapter().dump_python(made, mode="json"), separators=(",", ":")).encode()


def unpack(data: bytes) -> BatchResult:
    """`ValueError` for what `pack` did not make."""
    found = _adapter().validate_python(json.loads(data))
    error: StepwellError | None = None
    if found.error is not None:
        kind = getattr(errors, found.error.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, StepwellError)):
            raise ValueError(f"there is no error {found.error.kind!r}")
        error = kind(
            found.error.message,
            param=found.error.param,
            code=found.error.code,
            retry_after=found.error.retry_after,
        )
    return BatchResult(found.custom_id, found.state, found.completion, error, found.cost_usd)


@cache
def _adapter() -> TypeAdapter[_Packed]:
    return TypeAdapter(_Packed)
