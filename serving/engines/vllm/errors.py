"""What went wrong in vLLM, in our own errors. Told by the names of its classes: vLLM is an extra,
and is not imported for it.

VLLMClientError, ValueError           TierRejected
EngineDeadError, EngineGenerateError  TierUnavailable
ErrorResponse                         by its status
"""

from typing import Any

from serving.errors import StepwellError, TierError, TierRejected, TierUnavailable

MAX_MESSAGE_CHARS = 500
TOO_LONG = ("maximum context length", "max_model_len", "maximum model length")


def of_exception(error: Exception, tier: str) -> StepwellError:
    """What vLLM raised."""
    if isinstance(error, StepwellError):
        return error
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"VLLMClientError", "ValueError"}:
        return _rejected(tier, str(error), getattr(error, "parameter", None))
    return TierUnavailable(f"tier {tier}: the engine failed ({type(error).__name__})")


def of_response(response: Any, tier: str) -> StepwellError:
    """vLLM's `ErrorResponse`."""
    found = response.error
    if int(found.code) < 500:
        return _rejected(tier, found.message, found.param)
    return TierUnavailable(f"tier {tier}: the engine failed ({found.code})")


def _rejected(tier: str, said: str, param: str | None) -> TierError:
    if any(words in said for words in TOO_LONG):
        return TierRejected(
            f"tier {tier}: {said[:MAX_MESSAGE_CHARS]}",
            param="messages",
            code="context_length_exceeded",
        )
    return TierRejected(f"tier {tier}: {said[:MAX_MESSAGE_CHARS]}", param=param)
