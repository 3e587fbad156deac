"""What is paid for is in the ledger where its line ends, or is parked, without having used it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from serving.batch import answering
from serving.batch.hosted import packed
from serving.batch.values import LineAnswer, Parked
from serving.storage.database import Database
from tests.serving.batch.hosted.stage import FAST, Stage, asked, hard, stage

Found = LineAnswer | Parked
GONE = LineAnswer(403, "req", orjson.dumps({"text": "key_revoked"}), unused=True)


def changed(it: Stage, change: Callable[[Found, Any], Found]) -> None:
    """What the desk says of lines that go on is changed by this."""
    real: Any = it.desk.answer

    async def answer(*args: Any, **given: Any) -> Found:
        found: Found = await real(*args, **given)
        resumed = given.get("resumed")
        return found if resumed is None else change(found, resumed)

    it.desk.answer = answer  # type: ignore[method-assign]  # as a desk of another kind


def booked(it: Stage) -> list[tuple[str, str, int, str]]:
    return sorted({(one.tenant, one.request_id, one.turn, one.tier) for one in it.late})


async def test_the_key_is_gone_when_the_result_comes(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as it:
        changed(it, lambda _found, _resumed: GONE)
        batch_id = await it.submit(hard(2))
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(403, "key_revoked")}
        assert booked(it) == [("acme", f"req-h{i}", 1, "top") for i in range(2)]
        assert all(one.result.completion is not None for one in it.late)


async def test_what_was_used_is_not_booked_twice(database: Database, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(2))
        async with it.working():
            await it.ended(batch_id)
        assert it.late == []


async def test_only_the_last_try_of_a_line_gives_its_result_up(
    database: Database, tmp_path: Path
) -> None:
    tries: list[int] = []

    def fail(_found: Found, _resumed: Any) -> Found:
        tries.append(len(it.late))
        return replace(GONE, status=502, retry=True)

    settings = FAST.model_copy(update={"max_tries": 3})
    async with stage(database, tmp_path, settings=settings) as it:
        changed(it, fail)
        batch_id = await it.submit(hard(1))
        async with it.working():
            await it.ended(batch_id)
        assert tries == [0, 0, 0]
        assert len(it.late) == 1


async def test_a_line_that_is_parked_again_without_having_used_it(
    database: Database, tmp_path: Path
) -> None:
    """As where its journal cannot be read: it begins anew, and its row is replaced."""

    def unread(found: Found, resumed: Any) -> Found:
        first = orjson.loads(resumed.journal)["turn"] == 1
        return replace(found, unused=True) if first else found

    async with stage(database, tmp_path) as it:
        changed(it, unread)
        batch_id = await it.submit([asked("h0", "hard twice")])
        async with it.working():
            done = await it.ended(batch_id)
        assert set(it.answers(done).values()) == {(200, "Paris.")}
        assert len(it.late) == 1


async def test_a_line_whose_workers_all_died_ends_and_is_paid_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MAX_CLAIMS", 1)  # its second is when the result is there
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(1))
        async with it.working():
            done = await it.ended(batch_id)
        assert done["request_counts"]["failed"] == 1
        assert booked(it) == [("acme", "req-h0", 1, "top")]


async def test_a_result_that_cannot_be_read_any_more_fails_its_line_alone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd: list[bytes] = []

    def unpack(data: bytes) -> Any:
        if not odd:
            odd.append(data)
        return packed.unpack(b"of another version" if data == odd[0] else data)

    monkeypatch.setattr("serving.batch.hosted.parking.unpack", unpack)
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            done = await it.ended(batch_id)
        found = [status for status, _ in it.answers(done).values()]
        assert sorted(found) == [200, 200, 502]
