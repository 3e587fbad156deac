"""The emulator's own endpoints, under `/emulator`, which Anthropic's API has nothing of."""

import asyncio
import ipaddress

from serving.hosted.emulator.core import Core, load_json
from serving.hosted.emulator.errors import ApiError, invalid
from serving.hosted.emulator.exchange import Exchange
from serving.hosted.emulator.paging import envelope, page


async def show_clock(core: Core, exchange: Exchange) -> None:
    """`GET /emulator/clock`."""
    clock = core.clock
    shown = {"date": clock.date().isoformat(), "movable": clock.movable, "running": clock.running}
    await exchange.json(200, {"object": "emulator.clock", **shown})


async def move_clock(core: Core, exchange: Exchange) -> None:
    """`POST /emulator/clock` with `{"advance_s": seconds}`. What is due by then has happened when
    it answers. Only from this machine, and only where the emulator was started for it.
    """
    if not core.clock.movable:
        raise ApiError(403, "This emulator was started without a movable clock.")
    if not is_loopback(exchange.client):
        raise ApiError(403, "The clock is moved from the emulator's own machine only.")
    body = load_json(exchange.body)
    seconds = body.get("advance_s") if isinstance(body, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise invalid("advance_s: Input should be a number of seconds")
    move = asyncio.create_task(core.clock.advance(seconds))
    try:
        await asyncio.shield(move)  # what it sets going ends, whether or not the client waits
    except ValueError as error:
        raise invalid(f"advance_s: {error}") from None
    await show_clock(core, exchange)


async def show_account(core: Core, exchange: Exchange) -> None:
    """`GET /emulator/account`."""
    await exchange.json(200, core.account.as_json())


async def show_bills(core: Core, exchange: Exchange) -> None:
    """`GET /emulator/account/requests`: the bills that are kept, the newest first."""
    bills = {b.request_id: b for b in reversed(core.account.bills())}
    ids, more = page(list(bills), exchange.query, limit=100)
    shown = [{"id": i, **bills[i].as_json()} for i in ids]
    await exchange.json(200, envelope(shown, more=more))


async def show_bill(core: Core, exchange: Exchange) -> None:
    """`GET /emulator/account/requests/{id}`."""
    bill = core.account.bill(exchange.path["id"])
    if bill is None:
        raise ApiError(404, f"no bill of request {exchange.path['id']} is kept")
    await exchange.json(200, {"id": bill.request_id, **bill.as_json()})


def is_loopback(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
