"""Anthropic's Message Batches through the `anthropic` SDK, as a BatchBackend."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from serving.batches import (
    RESULTS_MISSING,
    BatchCounts,
    BatchHandle,
    BatchLimits,
    BatchResult,
    BatchState,
    BatchStatus,
    PreparedLine,
    cancelled,
    check_id,
    check_lines,
    expired,
)
from serving.costs.price import Price
from serving.errors import InvalidRequest, TierMisconfigured, TierProtocolError, TierRejected
from serving.hosted.client import client
from serving.hosted.errors import from_body, from_sdk
from serving.hosted.models import catalog
from serving.hosted.translate.request import Target, to_anthropic
from serving.hosted.translate.response import to_completion
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage
from serving.wire.jsonl import objects

if TYPE_CHECKING:
    import httpx2
    from anthropic.types.messages import MessageBatch

_HEAD, _TAIL = b'{"requests":[', b"]}"
LIMITS = BatchLimits(lines=100_000, bytes=256_000_000 - len(_HEAD) - len(_TAIL))
PATH = "/v1/messages/batches"
PAGE = 100
CONNECT_S = 5.0
ASK_S = 60.0
"""Of a question about batches, and of each wait for more of the results."""
SUBMIT_S = 600.0
"""Of a submit in all: 256 MB take a while."""
CHUNK_BYTES = 65_536
FREE = Decimal(0)

_STATES: Mapping[str, BatchState] = {
    "in_progress": "running",
    "canceling": "cancelling",
    "ended": "ended",
}


class AnthropicBatches:
    """Batches of one tier of Claude. Requests are expected as the tier's calls get them (see
    `serving.engines.fit`). `base_url` replaces the tier's own. `ConfigError` where the SDK or the
    key is missing.
    """

    def __init__(
        self, tier: TierSettings, *, price: Price | None = None, base_url: str | None = None
    ) -> None:
        self._client = client(tier, base_url)
        self._name, self._price, self._catalog = tier.name, price, catalog()
        self._target = Target(tier.model, tier.output.max_tokens, tier.effort)

    @property
    def limits(self) -> BatchLimits:
        return LIMITS

    def prepare(self, custom_id: str, request: ChatRequest) -> PreparedLine:
        check_id(custom_id)
        found = to_anthropic(request, self._target, self._catalog)
        line = {"custom_id": custom_id, "params": found.kwargs}
        try:
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            data = f"{text}\n".encode()
        except ValueError:  # half of a surrogate pair, or a number that JSON does not have
            message = f"{custom_id}: the request holds text or numbers that JSON cannot carry"
            raise TierRejected(message, param=custom_id) from None
        return PreparedLine(custom_id, data, found.dropped, found.notes)

    async def submit(self, lines: Sequence[PreparedLine], *, tag: str) -> BatchHandle:  # noqa: ARG002 - Anthropic keeps no mark
        """Sends the lines piece by piece, so that they are in memory once."""
        from anthropic.types.messages import MessageBatch  # noqa: PLC0415 - an extra

        check_lines(lines, LIMITS)
        # As bytes, since the SDK's own way makes one text of all lines while everybody waits.
        size = len(_HEAD) + sum(len(line.data) for line in lines) - 1 + len(_TAIL)
        headers = {"content-type": "application/json", "content-length": str(size)}
        with self._errors():
            async with asyncio.timeout(SUBMIT_S):  # the client's own begins anew with each piece
                batch = await self._client.sdk.post(
                    PATH,
                    cast_to=MessageBatch,
                    content=_body(lines),
                    options={"headers": headers, "timeout": _timeout(SUBMIT_S)},
                )
            return _status(batch).handle

    async def poll(self, batch_id: str) -> BatchStatus:
        with self._errors():
            batch = await self._client.sdk.messages.batches.retrieve(
                batch_id, timeout=_timeout(ASK_S)
            )
            return _status(batch)

    async def cancel(self, batch_id: str) -> BatchStatus:
        import anthropic  # noqa: PLC0415 - an extra

        with self._errors():
            try:
                batch = await self._client.sdk.messages.batches.cancel(
                    batch_id, timeout=_timeout(ASK_S)
                )
            except (anthropic.BadRequestError, anthropic.ConflictError):
                status = await self.poll(batch_id)  # it may have ended first
                if status.state != "ended":
                    raise
                return status
            return _status(batch)

    async def list(self, since: datetime) -> AsyncGenerator[BatchStatus, None]:
        batches = self._client.sdk.messages.batches.list(limit=PAGE, timeout=_timeout(ASK_S))
        with self._errors():
            async for batch in batches:
                if batch.created_at < since.astimezone(UTC):
                    return
                yield _status(batch)

    async def collect(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        status = await self.poll(batch_id)
        if status.state != "ended":
            message = f"batch {batch_id} has not ended; it has no results yet"
            raise InvalidRequest(message, code="batch_not_ended")
        read = 0
        with self._errors():
            async with aclosing(self._results(batch_id)) as lines:
                async for line in lines:
                    result = None if line is None else self._result(line)
                    if result is not None:
                        read += 1
                        yield result
        if read < status.handle.lines:
            missing = f"{status.handle.lines - read} of {status.handle.lines} results"
            message = f"tier {self._name}: {missing} of batch {batch_id} are missing or unreadable"
            raise TierProtocolError(message, code=RESULTS_MISSING)

    async def aclose(self) -> None:
        """Closes the connections; the adapter is of no use afterwards."""
        await self._client.sdk.close()

    async def _results(self, batch_id: str) -> AsyncGenerator[dict[str, Any] | None, None]:
        """The lines of the results. The SDK's own way reads 64 bytes at a time, and sends the key
        to whatever address the batch names; this path is the documented one at the tier's own.
        """
        import httpx2  # noqa: PLC0415 - comes with the SDK

        stream: bool = True
        response = await self._client.sdk.get(
            f"{PATH}/{quote(batch_id, safe='')}/results",
            cast_to=httpx2.Response,
            options={"headers": {"accept": "application/binary"}, "timeout": _timeout(ASK_S)},
            stream=stream,
        )
        try:
            async with aclosing(objects(response.aiter_bytes())) as found:
                async for line in found:
                    yield line
        finally:
            await response.aclose()

    def _result(self, line: Mapping[str, Any]) -> BatchResult | None:
        """None for what is no result."""
        custom_id, result = line.get("custom_id"), line.get("result")
        if not isinstance(custom_id, str) or not isinstance(result, Mapping):
            return None
        match result.get("type"):
            case "succeeded":
                return self._succeeded(custom_id, result.get("message"))
            case "errored":
                body = result.get("error")
                said = body if isinstance(body, Mapping) else {}
                error = from_body(said, self._name, scrub=self._client.scrub)
                return BatchResult(custom_id, "errored", error=error, cost_usd=FREE)
            case "canceled":
                return BatchResult(custom_id, "cancelled", None, cancelled(self._name), FREE)
            case "expired":
                return BatchResult(custom_id, "expired", None, expired(self._name), FREE)
        return None

    def _succeeded(self, custom_id: str, message: Any) -> BatchResult:
        """An answer that cannot be read has been billed all the same, and nobody knows how much."""
        try:
            completion = to_completion(message, int(time.time()))
        except TierProtocolError as error:
            return BatchResult(custom_id, "errored", error=error)
        cost = self._cost(completion.usage)
        return BatchResult(custom_id, "succeeded", completion, cost_usd=cost)

    def _cost(self, usage: Usage) -> Decimal | None:
        if self._price is None or self._price.batch_factor is None:
            return None
        return self._price.cost(usage, batch=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raises what the SDK raises within in our tree."""
        try:
            yield
        except InvalidRequest:
            raise
        except Exception as error:
            found = from_sdk(error, self._name, scrub=self._client.scrub)
            if found.code == "model_not_found":
                raise TierMisconfigured(found.message, code="batch_not_found") from None
            raise found from None


async def _body(lines: Sequence[PreparedLine]) -> AsyncIterator[bytes]:
    chunk = bytearray(_HEAD)
    for i, line in enumerate(lines):
        chunk += b"," if i else b""
        chunk += memoryview(line.data)[:-1]  # a comma for its line feed
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk + _TAIL)


def _status(batch: "MessageBatch") -> BatchStatus:
    """`ValueError` where the answer is no batch."""
    state = _STATES.get(batch.processing_status)
    if state is None:
        raise ValueError("unknown processing_status")
    found = batch.request_counts
    done = (found.succeeded, found.errored, found.canceled, found.expired)
    handle = BatchHandle(batch.id, batch.created_at, sum(done) + found.processing)
    counts = BatchCounts(*done) if state == "ended" else None
    return BatchStatus(handle, state, counts, batch.expires_at)


def _timeout(seconds: float) -> "httpx2.Timeout":
    import httpx2  # noqa: PLC0415 - comes with the SDK

    return httpx2.Timeout(seconds, connect=CONNECT_S)
