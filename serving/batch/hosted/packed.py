"""Results of hosted batches as they are kept until their lines have gone on."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import structlog
from pydantic import TypeAdapter

from serving import errors
from serving.batches import BatchResult, LineState
from serving.errors import StepwellError, TierError, TierProtocolError
from serving.wire.completion import Completion

_log = structlog.get_logger("stepwell.batch.hosted")


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
    """What another version has packed and this one cannot read is an error of unknown cost, as an
    answer of the provider that cannot be read is: it is paid for all the same.
    """
    try:
        found = _adapter().validate_python(json.loads(data))
    except ValueError as unread:
        _log.error("batch_result_unreadable", error=type(unread).__name__)
        error = TierProtocolError("what the batch gave cannot be read any more")
        return BatchResult("", "errored", error=error)
    kept = None if found.error is None else _made(found.error)
    return BatchResult(found.custom_id, found.state, found.completion, kept, found.cost_usd)


def _made(of: _Error) -> StepwellError:
    """One of a kind that there is not here is a tier's, and none that may pass."""
    kind = getattr(errors, of.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, StepwellError)):
        kind = TierError
    return kind(of.message, param=of.param, code=of.code, retry_after=of.retry_after)


@cache
def _adapter() -> TypeAdapter[_Packed]:
    return TypeAdapter(_Packed)
