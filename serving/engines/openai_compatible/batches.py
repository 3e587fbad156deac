"""OpenAI's batches through the `openai` SDK, as a BatchBackend: files in, files out."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, BinaryIO, Final

from openai import Timeout
from openai.types import Batch

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
    may_have_arrived,
)
from serving.costs.price import Price
from serving.engines.openai_compatible import convert
from serving.engines.openai_compatible.body import request_body
from serving.engines.openai_compatible.client import CONNECT_TIMEOUT_S, client, engine_of
from serving.engines.openai_compatible.errors import of_body, of_status, translated
from serving.errors import (
    InvalidRequest,
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRejected,
    TierUnavailable,
)
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage
from serving.wire.jsonl import objects
from serving.wire.render import dumps

LIMITS = BatchLimits(lines=50_000, bytes=200_000_000)
URL: Final = "/v1/chat/completions"
TAG = "stepwell_tag"
"""Under which name of a batch's metadata the submitter's mark is kept."""
PAGE = 100
ASK_S = 60.0
"""Of a question about batches, and of each wait for more of the results."""
SUBMIT_S = 600.0
"""Of a submit in all, the upload of its lines included."""

FREE = Decimal(0)

_STATES: Mapping[str, BatchState] = {
    "validating": "running",
    "in_progress": "running",
    "finalizing": "running",
    "cancelling": "cancelling",
    "completed": "ended",
    "expired": "ended",
    "cancelled": "ended",
    "failed": "failed",
}


class OpenAIBatches:
    """Batches of one tier at an OpenAI-compatible server. Requests are expected as the tier's calls
    get them (see `serving.engines.fit`). `ConfigError` where a key is configured and not there.
    """

    def __init__(self, tier: TierSettings, *, price: Price | None = None) -> None:
        self._tier, self._price = tier, price
        self._engine = engine_of(tier)
        self._client = client(tier)
        self._keeps_tags = False  # as far as has been seen

    @property
    def limits(self) -> BatchLimits:
        return LIMITS

    def prepare(self, custom_id: str, request: ChatRequest) -> PreparedLine:
        check_id(custom_id)
        body = request_body(request, self._tier.model, self._engine, stream=False)
        line = {"custom_id": custom_id, "method": "POST", "url": URL, "body": body}
        return PreparedLine(custom_id, dumps(line) + b"\n")

    async def submit(self, lines: Sequence[PreparedLine], *, tag: str) -> BatchHandle:
        """Uploads the lines from a temporary file; where the batch is refused then, the upload is
        deleted again.
        """
        check_lines(lines, LIMITS)
        with tempfile.TemporaryFile() as file:
            await asyncio.to_thread(_write, file, lines)
            with self._errors():
                async with asyncio.timeout(SUBMIT_S):  # the client's own is for each piece
                    handle = await self._send(file, tag)
                    return replace(handle, lines=len(lines))

    async def _send(self, file: BinaryIO, tag: str) -> BatchHandle:
        with self._errors():
            uploaded = await self._client.sdk.files.create(
                file=("batch.jsonl", file, "application/jsonl"),
                purpose="batch",
                **self._options(SUBMIT_S),
            )
        try:
            with self._errors():
                batch = await self._client.sdk.batches.create(
                    input_file_id=uploaded.id,
                    endpoint=URL,
                    completion_window="24h",
                    metadata={TAG: tag},
                    **self._options(ASK_S),
                )
                return self._status(batch).handle
        except TierError as error:
            if not may_have_arrived(error):
                await self._drop(uploaded.id)
            raise

    async def poll(self, batch_id: str) -> BatchStatus:
        """Where a batch with a mark has failed, its upload is deleted."""
        batch, status = await self._batch(batch_id)
        if status.state == "failed" and status.handle.tag:
            await self._drop(batch.input_file_id)
        return status

    async def cancel(self, batch_id: str) -> BatchStatus:
        try:
            with self._errors():
                batch = await self._client.sdk.batches.cancel(batch_id, **self._options(ASK_S))
                return self._status(batch)
        except (TierRejected, TierUnavailable):
            status = await self.poll(batch_id)  # it may have ended first
            if status.state not in {"ended", "failed"}:
                raise
            return status

    async def list(self, since: datetime) -> AsyncGenerator[BatchStatus, None]:
        batches = self._client.sdk.batches.list(limit=PAGE, **self._options(ASK_S))
        with self._errors():
            async for batch in batches:
                status = self._status(batch)
                if status.handle.created_at < since.astimezone(UTC):
                    return
                yield status

    async def collect(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """Whoever reads to the end of all results needs the upload no more, and it is deleted."""
        batch, status = await self._batch(batch_id)
        if status.state not in {"ended", "failed"}:
            message = f"batch {batch_id} has not ended; it has no results yet"
            raise InvalidRequest(message, code="batch_not_ended")
        read = 0
        for file in filter(None, (batch.output_file_id, batch.error_file_id)):
            async with aclosing(self._lines(file)) as lines:
                async for line in lines:
                    result = None if line is None else self._result(line)
                    if result is not None:
                        read += 1
                        yield result
        counts = status.counts or BatchCounts()
        missing = counts.succeeded + counts.errored - read
        if missing > 0:
            message = f"{missing} results of batch {batch_id} are missing or unreadable"
            raise TierProtocolError(f"{self._tier.name}: {message}", code=RESULTS_MISSING)
        if read or status.handle.tag:
            await self._drop(batch.input_file_id)

    async def aclose(self) -> None:
        """Closes the connections; the adapter is of no use afterwards."""
        await self._client.sdk.close()

    async def _drop(self, file_id: str) -> None:
        """What cannot be deleted stays, until the server's own time for files is over."""
        with suppress(TierError), self._errors():
            await self._client.sdk.files.delete(file_id, **self._options(ASK_S))

    async def _batch(self, batch_id: str) -> tuple[Batch, BatchStatus]:
        with self._errors():
            batch = await self._client.sdk.batches.retrieve(batch_id, **self._options(ASK_S))
            return batch, self._status(batch)

    async def _lines(self, file_id: str) -> AsyncGenerator[dict[str, Any] | None, None]:
        content = self._client.sdk.files.with_streaming_response.content
        with self._errors(began=True):
            async with (
                content(file_id, **self._options(ASK_S)) as response,
                aclosing(objects(response.iter_bytes())) as found,
            ):
                async for line in found:
                    yield line

    def _result(self, line: Mapping[str, Any]) -> BatchResult | None:
        """None for what is no result."""
        custom_id, response, failed = (line.get(k) for k in ("custom_id", "response", "error"))
        if not isinstance(custom_id, str):
            return None
        if isinstance(response, Mapping):
            return self._answered(custom_id, response.get("status_code"), response.get("body"))
        if not isinstance(failed, Mapping):
            return None
        match failed.get("code"):
            case "batch_expired":
                return BatchResult(custom_id, "expired", None, expired(self._tier.name), FREE)
            case "batch_cancelled":
                return BatchResult(custom_id, "cancelled", None, cancelled(self._tier.name), FREE)
        error = of_body(self._tier.name, dict(failed), scrub=self._client.scrub)
        return BatchResult(custom_id, "errored", None, error, FREE)

    def _answered(self, custom_id: str, status: Any, body: Any) -> BatchResult:
        """An answer that cannot be read has been billed all the same, and nobody knows how much."""
        name, scrub = self._tier.name, self._client.scrub
        if status != 200:
            said = body.get("error") if isinstance(body, Mapping) else body
            error = of_status(
                name, status if isinstance(status, int) else 500, said, {}, scrub=scrub
            )
            return BatchResult(custom_id, "errored", None, error, FREE)
        try:
            with translated(name, scrub=scrub):
                completion = convert.completion(name, self._tier.model, body, None)
        except TierError as unread:
            return BatchResult(custom_id, "errored", error=unread)
        cost = self._cost(completion.usage)
        return BatchResult(custom_id, "succeeded", completion, cost_usd=cost)

    def _cost(self, usage: Usage) -> Decimal | None:
        if self._price is None or self._price.batch_factor is None or usage.estimated:
            return None
        return self._price.cost(usage, batch=True)

    def _status(self, batch: Batch) -> BatchStatus:
        state = _STATES.get(batch.status)
        if state is None:
            raise TierProtocolError(f"{self._tier.name}: the answer is no batch")
        found, tag = batch.request_counts, self._tag(batch)
        handle = BatchHandle(batch.id, _time(batch.created_at), found.total if found else 0, tag)
        counts = BatchCounts(found.completed, found.failed) if found else None
        expires = None if batch.expires_at is None else _time(batch.expires_at)
        data = (batch.errors.data if batch.errors else None) or []
        reason = "; ".join(e.message or e.code or "no reason given" for e in data[:10])
        return BatchStatus(handle, state, counts, expires, self._client.scrub(reason) or None)

    def _tag(self, batch: Batch) -> str | None:
        """Some servers keep no metadata: there, a batch without any may be anyone's."""
        if batch.metadata is None:
            return "" if self._keeps_tags else None
        self._keeps_tags = self._keeps_tags or TAG in batch.metadata
        return batch.metadata.get(TAG, "")

    @contextmanager
    def _errors(self, *, began: bool = False) -> Iterator[None]:
        """Raises what the SDK raises within in our tree."""
        try:
            with translated(self._tier.name, began=began, scrub=self._client.scrub):
                yield
        except TierMisconfigured as error:
            if error.code == "model_not_found":
                message = f"{self._tier.name}: no such batch, file or URL"
                raise TierMisconfigured(message, code="batch_not_found") from None
            raise
        except (AttributeError, TypeError) as error:  # where the answer is no JSON of a batch
            message = f"{self._tier.name}: the answer is no batch ({type(error).__name__})"
            raise TierProtocolError(message) from None

    def _options(self, seconds: float) -> Any:
        timeout = Timeout(seconds, connect=CONNECT_TIMEOUT_S)
        return {"extra_headers": self._client.headers, "timeout": timeout}


def _write(file: BinaryIO, lines: Sequence[PreparedLine]) -> None:
    file.writelines(line.data for line in lines)
    file.seek(0)


def _time(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
