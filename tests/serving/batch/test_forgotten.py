"""What a living worker has claimed and does not know of is worked on all the same."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from serving.batch.forgotten import Held, free_forgotten
from serving.batch.hosted.store import HostedStore
from serving.batch.leases import Leases
from serving.storage.database import Database
from tests.serving.batch.hosted.stage import hard, stage
from tests.serving.batch.test_leases import only, two

Write = Callable[..., Awaitable[Any]]


class Away(Exception):
    """The database was away."""


def once(monkeypatch: pytest.MonkeyPatch, of: type, name: str, *, written: bool) -> list[str]:
    """The first call of this method that would write something fails, after the commit where it is
    `written`; what has failed by then.
    """
    real: Write = getattr(of, name)
    failed: list[str] = []

    async def method(self: Any, *args: Any, **values: Any) -> Any:
        fails = not failed and (not written)
        found = None if fails else await real(self, *args, **values)
        if not failed and (fails or found):
            failed.append(name)
            raise Away
        return found

    monkeypatch.setattr(of, name, method)
    return failed


@pytest.mark.parametrize(
    ("of", "name"),
    [(Leases, "claim_lines"), (Leases, "claim_batch"), (HostedStore, "claim")],
)
async def test_a_claim_that_is_reported_as_failed_is_not_kept_for_ever(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: type, name: str
) -> None:
    failed = once(monkeypatch, of, name, written=True)
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            done = await it.ended(batch_id)
        assert failed == [name]
        assert set(it.answers(done).values()) == {(200, "Paris.")}


@pytest.mark.parametrize(
    ("of", "names"),
    [(Leases, ("holds", "leave_batch")), (HostedStore, ("change", "leave"))],
)
async def test_what_can_neither_be_done_nor_left_is_done_later(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of: type,
    names: tuple[str, str],
) -> None:
    failed = [once(monkeypatch, of, name, written=False) for name in names]
    async with stage(database, tmp_path) as it:
        batch_id = await it.submit(hard(3))
        async with it.working():
            done = await it.ended(batch_id)
        assert failed == [[name] for name in names]
        assert done["status"] == "completed"
        assert await it.sent() == 3


async def test_lines_that_cannot_be_put_back_are_free_again(
    database: Database, tmp_path: Path
) -> None:
    async with two(database, tmp_path) as (one, other, _):
        batch = await only(one)
        mine = await one.claim_lines(batch, 2)
        kept = [(mine[0].batch.id, mine[0].number)]
        await other.free_forgotten(Held((), (), ()))  # of what is another's nothing is freed
        assert [line.number for line in await other.claim_lines(batch, 5)] == [3]
        await free_forgotten(database, "one", Held(kept, (), ()))
        assert [line.number for line in await other.claim_lines(batch, 5)] == [2]
