"""Lines that are parked for a provider's batch, and go on where they were, maybe elsewhere."""

import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from cache.exact import ExactCached
from serving.api.batch_lines import ChatLines
from serving.batch.values import CHAT, LineAnswer, Owner, Parked, Resumed
from serving.batches import BatchResult
from serving.errors import TierRejected, TierUnavailable
from serving.settings.root import CacheSettings, Settings
from tests.router.books import DOUBTFUL, Books, House, answer, broken
from tests.router.fakes import GATE, Reply, make_task

OWNER = Owner("default", None)
PARKS = frozenset({"large", "top"})
FAQ = make_task("faq", cache={"enabled": True, "ttl_s": 60}, max_tokens=500)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    made = await Books.opened(f"sqlite:///{tmp_path / 'test.db'}")
    yield made
    await made.database.close()


class Desk:
    """One process: a cascade behind an exact cache, and the lines' desk in front of it."""

    def __init__(self, books: Books, *, settings: Settings | None = None, **replies: Any) -> None:
        self.house = House.of(books, **replies)
        self.cached = ExactCached(
            self.house.cascade(FAQ),
            tasks=lambda _: FAQ,
            ledger=books.ledger,
            settings=CacheSettings(),
        )
        self.lines = ChatLines(self.cached, settings or configured())

    async def ask(
        self,
        body: dict[str, Any] | None = None,
        *,
        parks: frozenset[str] = PARKS,
        after: Parked | None = None,
        result: BatchResult | None = None,
        deadline_s: float = 30,
        owner: Owner = OWNER,
        **resumed: Any,
    ) -> LineAnswer | Parked:
        going_on = None if after is None else Resumed(after.journal, result, **resumed)
        return await self.lines.answer(
            line(**(body or {})), CHAT, owner, deadline_s=deadline_s, parks=parks, resumed=going_on
        )

    async def park(self, body: dict[str, Any] | None = None, **given: Any) -> Parked:
        found = await self.ask(body, **given)
        assert isinstance(found, Parked)
        return found

    async def end(self, body: dict[str, Any] | None = None, **given: Any) -> LineAnswer:
        found = await self.ask(body, **given)
        assert isinstance(found, LineAnswer), found
        return found


def configured(**changes: Any) -> Settings:
    tiers = [
        {
            "name": name,
            "model": f"{name}-model",
            "backend": {"engine": "mock"},
            "gate": GATE if name == "small" else None,
            "price": {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 1},
        }
        for name in ("small", "large", "top")
    ]
    return Settings.model_validate({"tiers": tiers, **changes})


def line(text: str = "Hi", **body: Any) -> bytes:
    messages = body.pop("messages", [{"role": "user", "content": text}])
    whole = {"model": "auto", "messages": messages, **body}
    return orjson.dumps({"custom_id": "l1", "method": "POST", "url": CHAT, "body": whole})


def edited(parked: Parked, **changes: Any) -> Parked:
    """With other values in the journal's parts; a part that is None is gone."""
    found = orjson.loads(parked.journal)
    for part, values in changes.items():
        found[part] = None if values is None else {**found[part], **values}
    return Parked(
        parked.tier, parked.request, parked.prefix, orjson.dumps(found), parked.request_id
    )


EXPLAIN = {"stepwell": {"explain": True}}


async def test_the_answer_covers_what_was_before_and_what_came_new(books: Books) -> None:
    parked = await Desk(books, small=[DOUBTFUL]).park(EXPLAIN)
    assert (parked.tier, parked.request.model) == ("large", "large-model")
    ended = await Desk(books).end(EXPLAIN, after=parked, result=answer())
    assert (ended.status, ended.request_id, ended.tier) == (200, parked.request_id, "large")
    rows = await books.rows("id", "request_id", "tier", "service", "cost", "baseline_cost")
    assert [r[1:4] for r in rows] == [
        (parked.request_id, "small", "live"),
        (parked.request_id, "large", "batch"),
    ]
    body = orjson.loads(ended.body)
    figures = body["usage"]["stepwell"]
    assert body["id"] == f"chatcmpl-{parked.request_id.removeprefix('req_')}"
    assert ended.cost_usd == rows[0][4] + rows[1][4] == Decimal(figures["cost_usd"])
    assert ended.baseline_cost_usd == rows[1][5] == Decimal(figures["baseline_cost_usd"])
    assert (figures["escalations"], figures["cache"]) == (1, "miss")
    assert (ended.usage.prompt_tokens, body["usage"]["prompt_tokens"]) == (100, 100)
    route = body["stepwell"]
    assert [(a["id"], a["service"]) for a in route["attempts"]] == [(r[0], r[3]) for r in rows]
    stages = [d["stage"] for d in route["decisions"]]
    assert stages.index("gate") < stages.index("park") < stages.index("resume")
    at_ms = [d["at_ms"] for d in route["decisions"]]
    assert at_ms == sorted(at_ms)


async def test_it_climbs_from_one_batch_to_the_next(books: Books) -> None:
    cut = {"response_format": {"type": "json_object"}}
    first = await Desk(books, small=[Reply("no json")]).park(cut)
    second = await Desk(books).park(cut, after=first, result=answer("none here"))
    assert (second.tier, second.request_id) == ("top", first.request_id)
    ended = await Desk(books).end(cut, after=second, result=answer('{"a": 1}'))
    assert ended.tier == "top"
    assert ended.cost_usd == sum(r[0] for r in await books.rows("cost"))
    assert orjson.loads(ended.body)["usage"]["stepwell"]["escalations"] == 2
    assert len(second.journal) > len(first.journal)


async def test_no_time_runs_while_a_line_is_parked(books: Books) -> None:
    hurried = {"stepwell": {"deadline_ms": 5_000, "explain": True}}
    parked = await Desk(books, small=[DOUBTFUL]).park(hurried)
    parked = edited(parked, head={"asked_at": time.time() - 7_200})
    desk = Desk(books, large=[Reply("fine")])
    ended = await desk.end(hurried, after=parked, parks=frozenset())
    assert (ended.status, ended.tier) == (200, "large")
    [call] = desk.house.tiers["large"].calls
    assert 4 < call.deadline - time.monotonic() <= 5
    decisions = orjson.loads(ended.body)["stepwell"]["decisions"]
    assert decisions[-1]["at_ms"] >= 7_200_000  # since the request came


async def test_an_answer_that_came_after_the_batchs_time_is_an_answer(books: Books) -> None:
    parked = await Desk(books, small=[DOUBTFUL]).park()
    long = answer("fine " * 20_000)  # judging it takes a moment
    assert (await Desk(books).end(after=parked, result=long, deadline_s=-3_600)).tier == "large"
    late = await Desk(books).end(after=parked, deadline_s=-3_600)
    assert (late.status, late.tier) == (200, "small")  # the best effort is what was there before


async def test_the_batchs_answer_is_kept_for_others(books: Books) -> None:
    parked = await Desk(books, small=[DOUBTFUL]).park()
    desk = Desk(books)
    await desk.end(after=parked, result=answer())
    hit = await desk.end()
    assert orjson.loads(hit.body)["usage"]["stepwell"]["cache"] == "exact"
    assert (hit.cost_usd, hit.request_id != parked.request_id) == (Decimal(0), True)


async def test_a_live_line_has_no_journal(books: Books) -> None:
    desk = Desk(books, small=[Reply("sure")])
    await desk.end(parks=frozenset())
    [call] = desk.house.tiers["small"].calls
    assert (call.journal, call.urgency) == (None, "offline")


async def test_what_the_batchs_line_could_not_carry_is_named(books: Books) -> None:
    parked = await Desk(books, small=[DOUBTFUL]).park()
    ended = await Desk(books).end(after=parked, result=answer(), dropped=("stop[0]",))
    assert orjson.loads(ended.body)["usage"]["stepwell"]["dropped_params"] == ["stop[0]"]


async def test_a_line_that_fails_in_the_end_says_what_all_of_it_cost(books: Books) -> None:
    parked = await Desk(books, small=[DOUBTFUL]).park(EXPLAIN)
    gone = Settings.model_validate(configured().model_dump() | {"keys": []})
    other = Owner("acme", "k1")
    ended = await Desk(books, settings=gone).end(after=parked, owner=other)
    assert ended.status == 403
    assert not ended.retry
    assert ended.cost_usd == (await books.rows("cost"))[0][0]
    assert ended.request_id == parked.request_id


async def test_a_result_that_nobody_may_have_is_said_to_be_unused(books: Books) -> None:
    parked = await Desk(books, small=[DOUBTFUL]).park()
    revoked = await Desk(books).end(after=parked, result=answer(), owner=Owner("acme", "k1"))
    assert (revoked.status, revoked.unused) == (403, True)
    used = await Desk(books).end(after=parked, result=answer())
    assert (used.status, used.unused) == (200, False)
    assert not (await Desk(books).end(after=parked, parks=frozenset())).unused  # none came


async def test_a_line_that_is_tried_again_after_its_result_pays_for_it_once(books: Books) -> None:
    """The tier above is away; the worker comes back with the same result."""
    cut = {"response_format": {"type": "json_object"}}
    parked = await Desk(books, small=[Reply(error=TierRejected("no"))]).park(cut)
    away = [Reply(error=TierUnavailable("away"))] * 2
    result = broken(TierRejected("not this"))
    failed = await Desk(books, top=away).end(cut, after=parked, result=result, parks=frozenset())
    assert failed.retry
    top = [Reply('{"a": 1}')]
    ended = await Desk(books, top=top).end(cut, after=parked, result=result, parks=frozenset())
    assert ended.tier == "top"
    rows = await books.rows("tier", "outcome", "service")
    assert [r for r in rows if r[0] == "large"] == [("large", "failed", "batch")]


@pytest.mark.parametrize("journal", [b"", b"\xff", b"[]", b"{}", b'{"head": {"turn": "x"}}'])
async def test_a_journal_that_nobody_can_read_is_as_none(books: Books, journal: bytes) -> None:
    parked = await Desk(books, small=[DOUBTFUL]).park()
    lost = Parked(parked.tier, parked.request, parked.prefix, journal, parked.request_id)
    with capture_logs() as logs:
        again = await Desk(books, small=[DOUBTFUL]).park(after=lost, result=answer())
    assert again.request_id != parked.request_id
    assert [e["event"] for e in logs] == ["journal_unreadable"]
    assert again.unused
    live = await Desk(books, small=[Reply("sure")]).end(after=lost, result=answer())
    assert live.unused


async def test_of_another_version_the_head_counts(books: Books) -> None:
    """The answer is paid for, and is used."""
    parked = await Desk(books, small=[DOUBTFUL]).park()
    for damage in ({"version": 2}, None):
        other = edited(parked, past=damage)
        with capture_logs() as logs:
            ended = await Desk(books).end(after=other, result=answer())
        assert (ended.tier, ended.request_id) == ("large", parked.request_id)
        assert [e["event"] for e in logs] == ["journal_unreadable"]
    anew = await Desk(books, small=[Reply("sure")]).end(after=edited(parked, past={"version": 2}))
    assert anew.tier == "small"


async def test_a_journal_holds_any_text_and_number(books: Books) -> None:
    odd = Reply("half \ud800 of a pair \x00", DOUBTFUL.logprob)
    parked = await Desk(books, small=[odd]).park()
    result = broken(TierRejected("no"))
    second = await Desk(books).park(after=parked, result=result)
    ended = await Desk(books).end(after=second, result=result)
    assert (ended.status, ended.tier) == (200, "small")
    message = json.loads(ended.body)["choices"][0]["message"]
    assert message["content"] == "half \ud800 of a pair \x00"


async def test_lines_that_begin_alike_have_one_prefix(books: Books) -> None:
    def of(system: str, text: str, **more: Any) -> dict[str, Any]:
        said = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return {"messages": said, "model": "large", **more}

    function = {"name": "f", "parameters": {"type": "object"}}
    tools = {"tools": [{"type": "function", "function": function}]}
    desk = Desk(books)
    found = [
        (await desk.park(body)).prefix
        for body in (
            of("Be kind.", "Hi"),
            of("Be kind.", "Bye", temperature=0.1),
            of("Be rude.", "Hi"),
            of("Be kind.", "Hi", **tools),
            of("Be kind.", "Hi", model="top"),
        )
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 4


async def test_tenants_have_no_prefix_in_common(books: Books) -> None:
    hashed = "sha256:" + "0" * 64
    keys = [{"id": t, "tenant": t, "hash": hashed} for t in ("a", "b")]
    desk = Desk(books, settings=configured(keys=keys))
    a, b = [await desk.park({"model": "top"}, owner=Owner(t, t)) for t in ("a", "b")]
    assert a.prefix != b.prefix


async def test_a_prompt_is_logged_once(books: Books) -> None:
    settings = configured(log={"prompts": True})
    with capture_logs() as logs:
        parked = await Desk(books, settings=settings, small=[DOUBTFUL]).park()
        await Desk(books, settings=settings).end(after=parked, result=answer())
    assert [e["event"] for e in logs] == ["prompt", "answer"]
