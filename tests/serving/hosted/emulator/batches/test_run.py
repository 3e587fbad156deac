"""What batches do with the prompt cache, and what they cost."""

from decimal import Decimal

import pytest

from serving.hosted.emulator.billing.prices import Tokens
from serving.settings.emulator import EmulatorBatches
from tests.serving.hosted.emulator.batches.test_life_cycle import requests
from tests.serving.hosted.emulator.running import Running, block, running
from tests.serving.hosted.fakes import Scripted, answer

RULES = EmulatorBatches(delay_s=0, requests_per_s=10, cache_share=1)


async def worked_off(to: Running, count: int, ttl: str = "5m") -> Tokens:
    """The tokens of a batch of so many requests with one prefix of 2,000 tokens."""
    before = to.emulator.account.total(batch=True).tokens
    sent = requests(count, system=[block(2_000, ttl)])
    await to.sdk.messages.batches.create(requests=sent)
    await to.pass_s(count)
    after = to.emulator.account.total(batch=True).tokens
    return Tokens(
        input=after.input - before.input,
        cache_read=after.cache_read - before.cache_read,
        cache_write_5m=after.cache_write_5m - before.cache_write_5m,
        cache_write_1h=after.cache_write_1h - before.cache_write_1h,
        output=after.output - before.output,
    )


async def test_requests_that_are_answered_together_each_write_a_cold_prefix() -> None:
    async with running(batches=RULES) as to:
        used = await worked_off(to, 30)
    assert used.cache_write_5m == 10 * 2_000, "the first slice"
    assert used.cache_read == 20 * 2_000, "the others"


async def test_a_prefix_that_was_warmed_before_is_read_by_all() -> None:
    """One request writes an entry for an hour, the batch follows."""
    async with running(batches=RULES) as to:
        await to.ask(system=[block(2_000, "1h")], max_tokens=0)
        await to.pass_s(1_000)
        used = await worked_off(to, 30, "1h")
    assert (used.cache_read, used.cache_write_1h) == (30 * 2_000, 0)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
async def test_caching_in_a_batch_is_best_effort(share: float, least: int, most: int) -> None:
    rules = RULES.model_copy(update={"cache_share": share, "requests_per_s": 100.0})
    async with running(batches=rules) as to:
        await to.ask(system=[block(2_000, "1h")], max_tokens=0)
        used = await worked_off(to, 200, "1h")
    hits = used.cache_read // 2_000
    assert least <= hits <= most
    assert hits + used.cache_write_1h // 2_000 == 200


async def test_entries_age_while_a_batch_is_worked_off() -> None:
    slowly = RULES.model_copy(update={"requests_per_s": 1 / 301})
    async with running(batches=slowly) as to:
        await to.sdk.messages.batches.create(requests=requests(3, system=[block(2_000, "5m")]))
        await to.pass_s(3_000)
        used = to.emulator.account.total(batch=True).tokens
    assert (used.cache_write_5m, used.cache_read) == (3 * 2_000, 0)


async def test_a_batch_costs_half() -> None:
    """Sonnet 4.6: (3 + 1.25 x 2,000 cached) tokens at $3, 100 at $15 a million: of that, half."""
    backend = Scripted(answer("x", tokens=100))
    async with running(backend, batches=RULES) as to:
        await to.ask(system=[block(2_000, "5m")])
        alone = to.emulator.account.total().usd
        await to.pass_s(301)
        await worked_off(to, 1)
        (bill,) = (b for b in to.emulator.account.bills() if b.batch_id)
    assert alone == Decimal("0.009009")
    assert bill.usd == Decimal("0.0045045")
    assert bill.custom_id == "r-0"
    assert bill.as_json()["batch_id"] == bill.batch_id
