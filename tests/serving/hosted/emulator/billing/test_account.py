"""The account, by itself and through calls of the real SDK."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import pytest

from serving.backend import Call
from serving.hosted.emulator.billing import account as account_module
from serving.hosted.emulator.billing.account import Account, Bill
from serving.hosted.emulator.billing.prices import Tokens
from serving.hosted.emulator.core import workspace_of
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk
from tests.serving.hosted.emulator.running import OLD_SONNET, block, running
from tests.serving.hosted.fakes import OLD_HAIKU, OPUS, Scripted, answer

AT = datetime(2026, 1, 1, tzinfo=UTC)


def bill(number: int = 0, **fields: Any) -> Bill:
    base: dict[str, Any] = {
        "request_id": f"req_{number}", "message_id": f"msg_{number}", "workspace": "w",
        "model": OLD_SONNET, "at": AT, "tokens": Tokens(input=1_000, output=10),
    }  # fmt: skip
    return Bill(**(base | fields))


def test_sums_are_kept_apart_by_what_they_are_of() -> None:
    account = Account()
    account.add(bill(1))
    account.add(bill(2, outcome="aborted"))
    account.add(bill(3, workspace="other", inference_geo="us"))
    account.add(bill(4, batch_id="b", custom_id="c"))
    assert account.total().usd == Decimal("0.01134")
    assert account.total(outcome="completed", batch=False, workspace="w").usd == Decimal("0.00315")
    assert account.total(batch=True).usd == Decimal("0.001575")
    assert account.total(inference_geo="us").usd == Decimal("0.003465")
    assert account.total(outcome="aborted").requests == 1
    assert len(list(account.lines())) == 4


def test_what_has_no_known_price_is_counted_and_not_taken_for_free() -> None:
    account = Account()
    account.add(bill(1, model="claude-fable-5-1"))
    account.add(bill(2))
    shown = account.as_json()
    assert (shown["total"]["requests"], shown["total"]["unpriced_requests"]) == (2, 1)
    assert shown["total"]["usd"] == "0.00315"
    assert bill(1, model="claude-fable-5-1").as_json()["usd"] is None


def test_single_bills_are_forgotten_and_sums_are_not() -> None:
    account = Account(keep=100)
    for number in range(1_000):
        account.add(bill(number))
    assert len(account.bills()) == 100
    assert account.bill("req_899") is None
    assert account.bill("req_900") is not None
    assert account.total().requests == 1_000
    everything = Account(keep=None)
    for number in range(20_000):
        everything.add(bill(number))
    assert len(everything.bills()) == 20_000


def test_workspaces_without_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "MAX_LINES", 10)
    account = Account()
    for number in range(50):
        account.add(bill(number, workspace=f"w{number}"))
    assert len(list(account.lines())) == 11
    assert account.total(workspace="(others)").requests == 40
    assert account.total().requests == 50


async def test_each_answer_is_billed_as_its_usage_says() -> None:
    async with running(Scripted(answer("one two", tokens=40))) as to, to.client("b") as other:
        for _ in range(2):
            await to.ask(system=[block(1_500, "5m")])
        message = await other.messages.create(
            model=OPUS, max_tokens=500, messages=[{"role": "user", "content": "Hi"}]
        )
        account = to.emulator.account
    mine = account.total(workspace=workspace_of("k"))
    assert mine.tokens == Tokens(
        input=6, cache_read=1_500, cache_write_5m=1_500, cache_write_1h=0, output=80
    )
    theirs = account.total(workspace=workspace_of("b"))
    assert theirs.tokens.output == message.usage.output_tokens == 100
    assert message._request_id is not None
    found = account.bill(message._request_id)
    assert found is not None
    assert (found.message_id, found.model, found.outcome) == (message.id, OPUS, "completed")


async def test_what_is_refused_costs_nothing() -> None:
    async with running() as to:
        for fields in ({"max_tokens": -1}, {"extra_headers": {"x-emulator-fault": "529"}}):
            with pytest.raises(anthropic.APIStatusError):
                await to.ask(**fields)
        await to.sdk.messages.count_tokens(model=OPUS, messages=[{"role": "user", "content": "Hi"}])
        assert to.emulator.account.total().requests == 0


class Halting(Scripted):
    """Stops in the middle of its answer and waits until it is given up."""

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        try:
            for text in ("one two ", "three "):
                yield Chunk("c", 0, "m", content=text)
            await asyncio.Event().wait()
        finally:
            self.closed.set()


async def test_an_aborted_stream_is_billed_as_far_as_it_came() -> None:
    backend = Halting()
    async with running(backend) as to:
        stream = await to.sdk.messages.create(
            model=OLD_SONNET,
            max_tokens=100,
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
        )
        pieces = 0
        async with stream, asyncio.timeout(5):
            async for event in stream:
                pieces += event.type == "content_block_delta"
                if pieces == 2:
                    break
        async with asyncio.timeout(5):
            await backend.closed.wait()
        (found,) = to.emulator.account.bills()
    assert (found.outcome, found.tokens) == ("aborted", Tokens(input=3, output=3))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_never_began_costs_nothing(stream: bool) -> None:
    backend = Scripted(delay=60.0)
    async with running(backend) as to:
        task = asyncio.create_task(to.ask(stream=stream))
        await backend.started.wait()
        task.cancel()
        await backend.closed.wait()
        assert to.emulator.account.total().requests == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["malformed", "truncated", "dropped"])
async def test_what_was_generated_and_did_not_arrive_is_billed_as_aborted(
    fault: str, stream: bool
) -> None:
    async with running(Scripted(answer("one two three"))) as to:
        options = {"json": {"model": OLD_HAIKU, "max_tokens": 9, "stream": stream,
                            "messages": [{"role": "user", "content": "Hi"}]}}  # fmt: skip
        try:
            await to.http("POST", "/v1/messages", headers={"x-emulator-fault": fault}, **options)
        except httpx2.RemoteProtocolError:
            assert fault == "dropped"
        (found,) = to.emulator.account.bills()
    assert found.outcome == "aborted"
    assert found.tokens.input == 3
    assert found.tokens.output == (0 if stream and fault == "malformed" else 1 if stream else 3)


async def test_a_cap_on_spending() -> None:
    backend = Scripted(answer("x", tokens=100))
    async with running(backend, spend_limit=Decimal("0.0031")) as to, to.client("b") as other:
        for _ in range(3):  # each costs 0.001509
            await to.ask()
        with pytest.raises(anthropic.RateLimitError) as caught:
            await to.ask()
        fields: Any = {"model": OPUS, "messages": [{"role": "user", "content": "Hi"}]}
        await other.messages.create(**fields, max_tokens=500)
    assert caught.value.error_code == "enforced_spend_limit_reached"
    assert "retry-after" not in caught.value.response.headers
