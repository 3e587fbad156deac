"""How a tier is asked: the request that it gets, the time it has, what its errors mean."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from router.rung import Rung
from router.steps import Failed, Fault
from serving.errors import (
    ClientError,
    ConfigError,
    DeadlineExceeded,
    Overloaded,
    RateLimited,
    StepwellError,
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
)
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

DETAIL_CHARS = 300

FAULTS: tuple[tuple[tuple[type[StepwellError], ...], Fault], ...] = (
    ((TierMisconfigured, ConfigError), "misconfigured"),
    ((TierRateLimited, RateLimited, Overloaded), "rate_limited"),
    ((TierTimeout, DeadlineExceeded), "timeout"),
    ((TierProtocolError,), "protocol_error"),
    ((TierRejected, ClientError), "rejected"),
)


def tier_request(
    request: ChatRequest, task: TaskSettings, rung: Rung, *, read_logprobs: bool
) -> ChatRequest:
    """The client's request with what Stepwell adds for itself: the task's limit on output, and
    logprobs from a tier that gives them where someone will read them.
    """
    update: dict[str, object] = {}
    if read_logprobs and rung.ability.logprobs and not request.logprobs:
        update["logprobs"] = True
    limit = request.output_limit
    if task.max_tokens is not None and (limit is None or limit > task.max_tokens):
        old_name = request.max_completion_tokens is None and request.max_tokens is not None
        update["max_tokens" if old_name else "max_completion_tokens"] = task.max_tokens
    return request.model_copy(update=update) if update else request


def without_logprobs(completion: Completion, request: ChatRequest) -> Completion:
    """Logprobs that only Stepwell asked for do not reach the client."""
    if request.logprobs or all(c.logprobs is None for c in completion.choices):
        return completion
    choices = tuple(replace(c, logprobs=None) for c in completion.choices)
    return replace(completion, choices=choices)


def whole_request(request: ChatRequest) -> ChatRequest:
    """The same question for one whole answer: no stream, no further choices."""
    unset = {"stream", "stream_options", "n"} & request.model_fields_set
    if not unset:
        return request
    copy = request.model_copy(update=dict.fromkeys(unset))
    copy.model_fields_set.difference_update(unset)
    return copy


@asynccontextmanager
async def within(seconds: float, tier: str) -> AsyncIterator[None]:
    """Cancels what runs inside after `seconds` and raises `TierTimeout`."""
    try:
        async with asyncio.timeout(max(0.0, seconds)) as scope:
            yield
    except TimeoutError as error:
        if scope.expired():
            raise TierTimeout(f"{tier} did not answer in time") from error
        raise


def failed(tier: str, error: StepwellError, *, committed: bool = False) -> Failed:
    """What an error of a tier means to the cascade."""
    found = (fault for kinds, fault in FAULTS if isinstance(error, kinds))
    return Failed(
        tier,
        next(found, "unavailable"),
        detail=error.message[:DETAIL_CHARS],
        retryable=isinstance(error, TierError) and error.retryable,
        retry_after=error.retry_after,
        committed=committed,
    )
