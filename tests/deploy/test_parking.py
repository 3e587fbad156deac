"""The whole stack, as it is wired: a line is parked and goes on."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from deploy.build import opened
from serving.api.batch_lines import ChatLines
from serving.batch.values import CHAT, LineAnswer, Owner, Parked, Resumed
from serving.batches import BatchResult
from serving.settings.root import Settings
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.wire.completion import Choice, Completion, Usage

OWNER = Owner("default", None)
PRICE = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 10}
LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": CHAT,
    "body": {
        "model": "auto",
        "messages": [{"role": "user", "content": "Say something."}],
        "stepwell": {"validators": [{"kind": "words", "required": ["zebra"]}]},
    },
}


def settings(**changes: Any) -> Settings:
    backend = {"engine": "mock"}
    tiers = [
        {"name": name, "model": "m", "backend": backend, "price": PRICE}
        for name in ("small", "large")
    ]
    faq = {"name": "faq", "cache": {"enabled": True, "ttl_s": 60}}
    return Settings.model_validate({"tiers": tiers, "tasks": [faq], **changes})


async def ask(desk: ChatLines, resumed: Resumed | None = None) -> LineAnswer | Parked:
    parks = frozenset({"large"})
    return await desk.answer(
        orjson.dumps(LINE), CHAT, OWNER, deadline_s=30, parks=parks, resumed=resumed
    )


async def test_a_line_is_parked_in_one_process_and_ends_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_DATA_DIR", str(tmp_path))
    chosen = settings()
    async with opened(chosen) as service:
        parked = await ask(ChatLines(service.backend, chosen))
    assert isinstance(parked, Parked)
    assert parked.tier == "large"
    made = Completion("b", 1, "m", (Choice(content="A zebra."),), Usage(12, 3))
    async with opened(chosen) as service:
        result = BatchResult("c", "succeeded", made)
        ended = await ask(ChatLines(service.backend, chosen), Resumed(parked.journal, result))
    assert isinstance(ended, LineAnswer)
    assert (ended.status, ended.tier, ended.request_id) == (200, "large", parked.request_id)
    database = await Database.open(f"sqlite:///{tmp_path / 'stepwell.db'}")
    columns = (attempts.c.tier, attempts.c.outcome, attempts.c.service, attempts.c.request_id)
    async with database.read() as connection:
        rows = (await connection.execute(select(*columns).order_by(attempts.c.created_at))).all()
    await database.close()
    assert [tuple(r) for r in rows] == [
        ("small", "escalated", "live", parked.request_id),
        ("large", "accepted", "batch", parked.request_id),
    ]
