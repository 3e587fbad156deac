"""Bills worked out by hand, against the ledger's prices and against the emulator's account.

The two read the published prices independently of each other, and both could be wrong: these
literals come from neither. `golden_bills.yaml` holds those of given tokens; below stand those of
real calls, from the prompt to what the adapter reports and what the account says.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from serving.costs.price import Price
from serving.costs.rate_card import RateCard
from serving.hosted.emulator.billing.account import Account, Bill
from serving.hosted.emulator.billing.prices import Tokens
from serving.hosted.translate.usage import to_usage
from serving.settings.emulator import EmulatorBatches
from serving.wire.completion import Completion, Usage
from tests.serving.hosted.emulator.running import OLD_SONNET, block, running
from tests.serving.hosted.fakes import OLD_HAIKU, Scripted, adapter, answer, asked, call, chat

CASES: list[dict[str, Any]] = YAML(typ="safe").load(
    Path(__file__).with_name("golden_bills.yaml").read_text("utf-8")
)
DAY = date(2026, 11, 1)
both = pytest.mark.parametrize("stream", [False, True])


def price(model: str, *, us: bool = False) -> Price:
    found = RateCard.load().price(model, DAY, geo_us=us)
    assert found is not None
    return found


def tokens(case: dict[str, Any]) -> Tokens:
    given = case["tokens"]
    return Tokens(
        input=given.get("input", 0),
        cache_read=given.get("read", 0),
        cache_write_5m=given.get("write_5m", 0),
        cache_write_1h=given.get("write_1h", 0),
        output=given.get("output", 0),
    )


def named(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_ledgers_price(case: dict[str, Any]) -> None:
    used = tokens(case)
    usage = Usage(
        prompt_tokens=used.prompt,
        completion_tokens=used.output,
        cached_tokens=used.cache_read,
        cache_write_tokens=used.cache_write_5m + used.cache_write_1h,
        cache_write_1h_tokens=used.cache_write_1h,
    )
    cost = price(case["model"], us=case.get("us", False)).cost(
        usage, batch=case.get("batch", False)
    )
    assert cost == Decimal(case["usd"])


@pytest.mark.parametrize("case", [c for c in CASES if "elsewhere" not in c], ids=named)
def test_the_emulators_account(case: dict[str, Any]) -> None:
    account = Account()
    bill = Bill(
        request_id="req_1",
        message_id="msg_1",
        workspace="w",
        model=case["model"],
        at=datetime(2026, 11, 1, tzinfo=UTC),
        tokens=tokens(case),
        inference_geo="us" if case.get("us") else "global",
        batch_id="msgbatch_1" if case.get("batch") else None,
    )
    account.add(bill)
    assert account.total().usd == bill.usd == Decimal(case["usd"])


def test_every_model_and_class_of_tokens_has_a_case() -> None:
    models = {case["model"] for case in CASES}
    assert models >= set(RateCard.load().models)
    assert {name for case in CASES for name in case["tokens"]} == {
        "input", "read", "write_5m", "write_1h", "output",
    }  # fmt: skip
    assert len(CASES) == len({case["name"] for case in CASES}) == 39


HUNDRED = answer("x", tokens=100)
DECLINED = answer("no", tokens=12, refusal="No.", finish_reason="content_filter")
HOUR, FIVE = block(2_000, "1h"), block(2_000, "5m")


@both
@pytest.mark.parametrize(
    ("model", "system", "reply", "usd"),
    [
        # 203 x 3 = 609; 100 x 15 = 1,500
        (OLD_SONNET, [block(200)], HUNDRED, ("0.002109", "0.002109")),
        # 2,000 x 3.75 = 7,500, then 2,000 x 0.30 = 600; and 1,509 each time
        (OLD_SONNET, [FIVE], HUNDRED, ("0.009009", "0.002109")),
        # 2,000 x 6 = 12,000, then 600; and 1,509 each time
        (OLD_SONNET, [HOUR], HUNDRED, ("0.013509", "0.002109")),
        # 2,000 x 6 + 2,000 x 3.75 = 19,500, then 4,000 x 0.30 = 1,200; and 1,509 each time
        (OLD_SONNET, [HOUR, FIVE], HUNDRED, ("0.021009", "0.002709")),
        # 2,003 x 1 = 2,003 and 100 x 5 = 500, both times: 2,000 tokens are too few to cache
        (OLD_HAIKU, [FIVE], HUNDRED, ("0.002503", "0.002503")),
        # 6,000 x 1.25 = 7,500, then 6,000 x 0.10 = 600; and 3 + 500 each time
        (OLD_HAIKU, [block(6_000, "5m")], HUNDRED, ("0.008003", "0.001103")),
        # 2,000 x 3.75 = 7,500, then 600; and 9 + 12 x 15 = 189 each time
        (OLD_SONNET, [FIVE], DECLINED, ("0.007689", "0.000789")),
    ],
)  # fmt: skip
async def test_real_calls(
    model: str, system: list[Any], reply: Completion, usd: tuple[str, str], stream: bool
) -> None:
    request = chat({"role": "system", "content": system}, "Hi")
    async with running(Scripted(reply)) as to, adapter(to.url, model) as backend:
        found = [await asked(backend, request, call(), stream=stream) for _ in range(2)]
        bills = to.emulator.account.bills()
    costs = [price(model).cost(completion.usage) for completion in found]
    assert costs == [Decimal(cost) for cost in usd]
    assert [bill.usd for bill in bills] == costs
    assert [bill.message_id for bill in bills] == [completion.id for completion in found]


@both
async def test_a_real_call_that_thinks(stream: bool) -> None:
    """60 tokens of thinking and 100 of answer are 160 of output: 160 x 5 = 800; and 3 x 1."""
    async with (
        running(Scripted(HUNDRED)) as to,
        adapter(to.url, OLD_HAIKU, effort="low") as backend,
    ):
        found = await asked(backend, chat("Hi"), call(), stream=stream)
        (bill,) = to.emulator.account.bills()
    assert found.usage.reasoning_tokens == 60
    assert price(OLD_HAIKU).cost(found.usage) == bill.usd == Decimal("0.000803")


async def test_a_real_call_in_the_us() -> None:
    """(2,000 x 3.75 + 3 x 3 + 100 x 15) x 1.1 = 9,009 x 1.1 = 9,909.9."""
    async with running(Scripted(HUNDRED)) as to:
        message = await to.ask(system=[FIVE], inference_geo="us")
        (bill,) = to.emulator.account.bills()
    cost = price(OLD_SONNET, us=True).cost(to_usage(message.usage.to_dict()))
    assert cost == bill.usd == Decimal("0.0099099")


async def test_a_real_batch() -> None:
    """Half of 9,009 for the one that writes the prefix, half of 2,109 for the one that reads it."""
    rules = EmulatorBatches(delay_s=0, requests_per_s=1, cache_share=1)
    params: Any = {
        "model": OLD_SONNET, "max_tokens": 200, "system": [FIVE],
        "messages": [{"role": "user", "content": "Hi"}],
    }  # fmt: skip
    async with running(Scripted(HUNDRED), batches=rules) as to:
        made = await to.sdk.messages.batches.create(
            requests=[{"custom_id": name, "params": params} for name in ("a", "b")]
        )
        await to.pass_s(10)
        costs = []
        async for line in await to.sdk.messages.batches.results(made.id):
            assert line.result.type == "succeeded"
            usage = to_usage(line.result.message.usage.to_dict())
            costs.append(price(OLD_SONNET).cost(usage, batch=True))
        bills = [bill.usd for bill in to.emulator.account.bills()]
    assert sorted(costs) == sorted(b for b in bills if b is not None)
    assert sorted(costs) == [Decimal("0.0010545"), Decimal("0.0045045")]
