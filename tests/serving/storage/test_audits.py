"""Audit records hold critical requests in full."""

import time
from decimal import Decimal

import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from serving.backend import Attempt, Call
from serving.errors import Overloaded
from serving.storage.audits import AuditLog
from serving.storage.database import Database
from serving.storage.schema import audits
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Completion, Usage

SECRET = "the contract says \x00"
REQUEST = ChatRequest.model_validate(
    {
        "model": "auto",
        "messages": [{"role": "user", "content": SECRET}],
        "stepwell": {"task": "legal"},
        "unheard_of": {"kept": True},
    }
)


def call() -> Call:
    made = Call("req_1", "acme", deadline=time.monotonic() + 10, task="legal")
    made.trace.note("plan", "opus", "critical")
    made.trace.attempts.append(
        Attempt(
            id="att_1",
            kind="attempt",
            tier="opus",
            model="m",
            started_at=0.0,
            usage=Usage(10, 2),
            cost_usd=Decimal("0.00009"),
            outcome="accepted",
            sink=print,
        )
    )
    return made


async def records(database: Database) -> list[dict[str, object]]:
    async with database.read() as connection:
        return [dict(row) for row in (await connection.execute(select(audits))).mappings()]


async def test_request_answer_and_route_are_kept(database: Database) -> None:
    answer = Completion("c", 1, "m", (Choice(content="It does."),), Usage(10, 2))
    await AuditLog(database).add(call(), REQUEST, answer)
    (record,) = await records(database)
    assert record["request_id"] == "req_1"
    assert record["tenant"] == "acme"
    assert record["task"] == "legal"
    assert record["request"] == {
        "model": "auto",
        "messages": [{"role": "user", "content": "the contract says \ufffd"}],
        "stepwell": {"task": "legal"},
        "unheard_of": {"kept": True},
    }
    response, trace = record["response"], record["trace"]
    assert isinstance(response, dict)
    assert response["choices"][0]["message"]["content"] == "It does."
    assert isinstance(trace, dict)
    assert trace["decisions"][0]["reason"] == "critical"
    assert trace["attempts"][0]["cost_usd"] == "0.00009"
    assert trace["attempts"][0]["prompt_tokens"] == 10
    assert "sink" not in trace["attempts"][0]


async def test_a_request_without_an_answer_is_kept_too(database: Database) -> None:
    await AuditLog(database).add(call(), REQUEST, None)
    await AuditLog(database).add(call(), REQUEST, None)
    async with database.read() as connection:
        query = text("SELECT count(*) FROM audits WHERE response IS NULL")
        assert (await connection.execute(query)).scalar_one() == 2


async def test_a_record_that_cannot_be_stored_is_an_error_without_the_prompt(
    database: Database,
) -> None:
    async with database.begin() as connection:
        await connection.execute(text("DROP TABLE audits"))
    with capture_logs() as logs, pytest.raises(Overloaded) as caught:
        await AuditLog(database).add(call(), REQUEST, None)
    assert caught.value.code == "audit_unavailable"
    assert len(logs) == 1
    assert "contract" not in str(logs)
