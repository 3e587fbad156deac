"""The endpoints of message batches."""

import asyncio
from collections.abc import Iterator

from serving.hosted.emulator.batches.run import BatchRun
from serving.hosted.emulator.batches.shape import parse_batch
from serving.hosted.emulator.batches.store import Batch, Batches
from serving.hosted.emulator.core import Core
from serving.hosted.emulator.errors import ApiError, invalid
from serving.hosted.emulator.exchange import Exchange
from serving.hosted.emulator.faults import HEADER, before, forced_stop
from serving.hosted.emulator.paging import envelope, page
from serving.settings.emulator import EmulatorBatches, EmulatorFault

SHARES_HEADER = "x-emulator-batch"
PIECE_BYTES = 64 * 1024


class BatchRoutes:
    """Each public method answers one endpoint. `rules` say how batches are worked off."""

    def __init__(self, core: Core, rules: EmulatorBatches, seed: int) -> None:
        self._rules, self._batches = rules, Batches(core.clock)
        self._run = BatchRun(core, self._batches, rules, seed)

    async def create(self, core: Core, exchange: Exchange) -> None:
        """`POST /v1/messages/batches`."""
        core.admit(exchange.workspace)
        fault = await _fault(core, exchange)
        items = await asyncio.to_thread(parse_batch, exchange.body)
        exchange.body = b""
        rules = _with_shares(self._rules, exchange.headers.get(SHARES_HEADER, ""))
        batch = Batch(
            workspace=exchange.workspace,
            version=exchange.version,
            created=core.clock(),
            waiting=items,
            stop=forced_stop(fault),
            errored=rules.errored,
            expired=rules.expired,
        )
        self._batches.add(batch)
        self._run.begin(batch)
        await self._show(batch, exchange, fault)

    async def retrieve(self, core: Core, exchange: Exchange) -> None:
        """`GET /v1/messages/batches/{id}`."""
        fault = await _fault(core, exchange)
        await self._show(self._named(exchange), exchange, fault)

    async def listing(self, core: Core, exchange: Exchange) -> None:
        """`GET /v1/messages/batches`."""
        await _fault(core, exchange)
        ids, more = page(self._batches.ids(exchange.workspace), exchange.query)
        found = [self._batches.get(exchange.workspace, i) for i in ids]
        base = _base_url(exchange)
        shown = [self._batches.as_json(batch, base) for batch in found]
        await exchange.json(200, envelope(shown, more=more))

    async def cancel(self, core: Core, exchange: Exchange) -> None:
        """`POST /v1/messages/batches/{id}/cancel`."""
        fault = await _fault(core, exchange)
        batch = self._named(exchange)
        if self._batches.cancel(batch):
            self._run.cancel(batch)
        await self._show(batch, exchange, fault)

    async def delete(self, core: Core, exchange: Exchange) -> None:
        """`DELETE /v1/messages/batches/{id}`."""
        await _fault(core, exchange)
        batch = self._named(exchange)
        self._batches.delete(batch)
        await exchange.json(200, {"id": batch.id, "type": "message_batch_deleted"})

    async def results(self, core: Core, exchange: Exchange) -> None:
        """`GET /v1/messages/batches/{id}/results`: JSON lines in no order."""
        fault = await _fault(core, exchange)
        batch = self._named(exchange)
        if batch.ended is None or batch.archived is not None:
            raise ApiError(404, f"Results of message batch {batch.id} are not available.")
        lines = list(batch.lines)
        broken = fault in {"truncated", "dropped", "malformed"}
        await exchange.start(200, "application/x-jsonl")
        for piece in _pieces(lines[: len(lines) // 2] if broken else lines):
            await exchange.write(piece)
        if fault == "malformed":
            await exchange.write(b'{"custom_id": "bro\n')
        if fault != "dropped":  # the server closes a connection whose answer has no end
            await exchange.write(b"", more=False)

    def _named(self, exchange: Exchange) -> Batch:
        return self._batches.get(exchange.workspace, exchange.path["id"])

    async def _show(self, batch: Batch, exchange: Exchange, fault: EmulatorFault | None) -> None:
        if fault == "dropped":
            await exchange.drop()
        elif fault in {"malformed", "truncated"}:
            await exchange.broken()
        else:
            await exchange.json(200, self._batches.as_json(batch, _base_url(exchange)))


async def _fault(core: Core, exchange: Exchange) -> EmulatorFault | None:
    """The fault of this request, where it does not end here."""
    fault = core.faults.draw(exchange.headers.get(HEADER))
    await before(fault)
    return fault


def _pieces(lines: list[bytes]) -> Iterator[bytes]:
    """Whole lines, some kilobytes at a time."""
    held = bytearray()
    for line in lines:
        held += line + b"\n"
        if len(held) >= PIECE_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _base_url(exchange: Exchange) -> str:
    """Where the client found us; results are named by a whole URL."""
    host = exchange.headers.get("host", "")
    return f"http://{host}" if host else ""


def _with_shares(rules: EmulatorBatches, header: str) -> EmulatorBatches:
    """The rules with the shares of requests that are to fail, as the header says
    (`errored=0.2,expired=0.1`).
    """
    given = dict(part.strip().partition("=")[::2] for part in header.split(",") if part.strip())
    if given.keys() - {"errored", "expired"}:
        raise invalid(f"{SHARES_HEADER}: takes shares of errored and expired")
    try:
        return EmulatorBatches.model_validate({**rules.model_dump(), **given})
    except ValueError:
        raise invalid(f"{SHARES_HEADER}: {header!r} are no shares") from None
