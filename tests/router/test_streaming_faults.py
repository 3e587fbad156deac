"""Streams that go wrong, and clients that leave."""

import asyncio

import pytest

from serving.errors import (
    InvalidRequest,
    NoTierAnswered,
    TierMisconfigured,
    TierProtocolError,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.completion import Chunk
from tests.router.fakes import (
    GATE,
    LONG,
    Ladder,
    Reply,
    make_call,
    make_request,
    read,
    stream,
    text_of,
    two_tiers,
    verdicts,
)


async def test_a_fault_before_anything_went_out_is_retried_and_failed_over() -> None:
    call = make_call()
    ladder = Ladder().add("only", Reply(error=TierUnavailable("refused")), Reply("fine"))
    assert text_of(await read(stream(ladder, call))) == "fine"
    assert verdicts(call)[0] == ("only", "failed", "tier_unavailable")
    call = make_call()
    ladder = two_tiers(Reply(LONG, error=TierMisconfigured("no key"), error_after=2), Reply("fine"))
    assert text_of(await read(stream(ladder, call))) == "fine", "held words never went out"


async def test_a_fault_after_content_went_out_is_raised() -> None:
    call = make_call()
    ladder = two_tiers(Reply(LONG, error=TierUnavailable("gone"), error_after=15), Reply("fine"))
    got: list[Chunk] = []

    async def read_on() -> None:
        async for chunk in stream(ladder, call):
            got.append(chunk)  # noqa: PERF401 - what came before the error is to be seen

    with pytest.raises(TierUnavailable, match="gone"):
        await read_on()
    assert text_of(got).startswith("number1 number2 number3")
    assert all(c.usage is None for c in got)
    assert ladder.tiers["large"].calls == []
    assert verdicts(call) == [("small", "failed", "tier_unavailable")]


async def test_a_stream_that_breaks_off_without_an_end_is_a_fault() -> None:
    call = make_call()
    ladder = Ladder().add("small", Reply("yes", finished=False), gate=GATE, retries=0)
    assert text_of(await read(stream(ladder.add("large", Reply("fine")), call))) == "fine"
    assert verdicts(call)[0] == ("small", "failed", "tier_protocol_error")
    with pytest.raises(TierProtocolError):
        await read(stream(Ladder().add("only", Reply(LONG, finished=False)), make_call()))


async def test_the_tiers_deadline_is_for_what_is_held_back() -> None:
    call = make_call()
    ladder = two_tiers(Reply(LONG, hang=True, error_after=2), Reply("fine"), deadline_s=0.05)
    assert text_of(await read(stream(ladder, call))) == "fine"
    await asyncio.sleep(0)
    assert verdicts(call)[0] == ("small", "failed", "tier_timeout")


async def test_a_flowing_stream_has_until_the_requests_deadline() -> None:
    call = make_call(within_s=0.25)
    ladder = Ladder().add("only", Reply(LONG, hang=True, error_after=5), deadline_s=0.05)
    with pytest.raises(TierTimeout):
        await read(stream(ladder, call))
    assert call.remaining <= 0


async def test_a_client_that_closes_the_stream_stops_the_tier_at_once() -> None:
    call = make_call()
    ladder = two_tiers(Reply(LONG))
    chunks = stream(ladder, call)
    await anext(chunks)
    await chunks.aclose()
    assert ladder.tiers["small"].closed == 1
    assert verdicts(call) == [("small", "cancelled", "client_closed")]


async def test_a_client_that_leaves_while_the_stream_is_held_stops_the_tier() -> None:
    call = make_call()
    ladder = two_tiers(Reply(LONG, hang=True, error_after=1))
    reading = asyncio.create_task(read(stream(ladder, call)))
    await asyncio.sleep(0.02)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ladder.tiers["small"].closed == 1
    assert verdicts(call) == [("small", "cancelled", "client_closed")]


async def test_errors_before_the_first_chunk_are_the_live_drivers() -> None:
    ladder = two_tiers(Reply(error=TierMisconfigured("x")), Reply(error=TierMisconfigured("x")))
    with pytest.raises(NoTierAnswered):
        await read(stream(ladder, make_call()))
    own = make_request(stream=True, stepwell={"validators": [{"kind": "regex", "pattern": "("}]})
    with pytest.raises(InvalidRequest):
        await read(stream(two_tiers(Reply()), make_call(), request=own))
