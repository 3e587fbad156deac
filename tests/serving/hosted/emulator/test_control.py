"""The emulator's own endpoints."""

import ipaddress

import pytest

from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.control import is_loopback
from serving.hosted.emulator.core import workspace_of
from tests.serving.hosted.emulator.running import block, running


async def test_the_clock_is_moved_over_http() -> None:
    async with running() as to:
        await to.ask(system=[block(2_000, "5m")])
        before = (await to.http("GET", "/emulator/clock")).json()
        moved = await to.http("POST", "/emulator/clock", json={"advance_s": 86_400})
        again = await to.ask(system=[block(2_000, "5m")])
    assert before["movable"] is True
    assert before["running"] is False
    assert moved.json()["date"][8:10] != before["date"][8:10]
    assert again.usage.cache_read_input_tokens == 0


@pytest.mark.parametrize(
    "body",
    [{}, [], {"advance_s": "1"}, {"advance_s": True}, {"advance_s": -1}, {"advance_s": 1e12}],
)
async def test_moves_that_make_no_sense(body: object) -> None:
    async with running() as to:
        response = await to.http("POST", "/emulator/clock", json=body)
    assert response.status_code == 400
    assert "advance_s" in response.json()["error"]["message"]


async def test_a_clock_is_not_moved_unless_it_was_started_for_it() -> None:
    async with running(clock=Clock()) as to:
        response = await to.http("POST", "/emulator/clock", json={"advance_s": 1})
        assert (await to.http("GET", "/emulator/clock")).json()["movable"] is False
    assert response.status_code == 403


@pytest.mark.parametrize(
    ("client", "ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("", False),
     ("testclient", False), (str(ipaddress.ip_address("8.8.8.8")), False)],
)  # fmt: skip
def test_only_this_machine_moves_it(client: str, ours: bool) -> None:
    assert is_loopback(client) is ours


async def test_the_account_over_http() -> None:
    async with running() as to:
        messages = [await to.ask(system=[block(2_000, "1h")]) for _ in range(3)]
        account = (await to.http("GET", "/emulator/account")).json()
        page = (await to.http("GET", "/emulator/account/requests?limit=2")).json()
        request_id = messages[0]._request_id
        one = (await to.http("GET", f"/emulator/account/requests/{request_id}")).json()
        missing = await to.http("GET", "/emulator/account/requests/req_no")
    assert account["object"] == "emulator.account"
    assert "Not a part of Anthropic's API" in account["note"]
    assert account["total"] == account["completed"]
    assert account["total"]["tokens"] == {
        "input": 9, "cache_read": 4_000, "cache_write_5m": 0, "cache_write_1h": 2_000, "output": 9,
    }  # fmt: skip
    assert account["total"]["usd"] == "0.013362"
    (line,) = account["lines"]
    assert (line["workspace"], line["model"]) == (workspace_of("k"), "claude-sonnet-4-6")
    assert line["workspace"] != "k"
    assert [b["message_id"] for b in page["data"]] == [messages[2].id, messages[1].id]
    assert page["has_more"] is True
    assert (one["message_id"], one["usd"]) == (messages[0].id, "0.012054")
    assert missing.status_code == 404
