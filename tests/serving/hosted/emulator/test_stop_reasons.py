"""Every stop reason, as it comes about and on demand, through the real SDK."""

from typing import Any

import pytest
from anthropic.types import Message

from tests.serving.hosted.emulator.running import OLD_SONNET, Running, running
from tests.serving.hosted.fakes import OLD_HAIKU, Scripted, answer, tool_answer

TOOL = {"name": "f", "input_schema": {"type": "object"}}
both = pytest.mark.parametrize("stream", [False, True])


async def told(to: Running, *, stream: bool, model: str = OLD_SONNET, **fields: Any) -> Message:
    fields = {
        "model": model,
        "max_tokens": 400,
        "messages": [{"role": "user", "content": "Hi"}],
        **fields,
    }
    if not stream:
        message: Message = await to.sdk.messages.create(**fields)
        return message
    async with to.sdk.messages.stream(**fields) as events:
        whole: Message = await events.get_final_message()
        return whole


@both
@pytest.mark.parametrize(
    ("reply", "fields", "reason"),
    [
        (answer("done"), {}, "end_turn"),
        (answer("cut", finish_reason="length"), {}, "max_tokens"),
        (answer("one STOP two"), {"stop_sequences": ["STOP"]}, "stop_sequence"),
        (tool_answer(("c", "f", "{}")), {"tools": [TOOL]}, "tool_use"),
        (answer("no", refusal="No.", finish_reason="content_filter"), {}, "refusal"),
        (
            answer("cut", finish_reason="length"),
            {"model": OLD_HAIKU, "max_tokens": 60_000, "timeout": 600,
             "messages": [{"role": "user", "content": "word " * 150_000}]},
            "model_context_window_exceeded",
        ),
    ],
)  # fmt: skip
async def test_as_they_come_about(
    reply: Any, fields: dict[str, Any], reason: str, stream: bool
) -> None:
    async with running(Scripted(reply)) as to:
        message = await told(to, stream=stream, **fields)
    assert message.stop_reason == reason
    assert (message.stop_details is not None) == (reason == "refusal")
    assert message.stop_sequence == ("STOP" if reason == "stop_sequence" else None)


@both
@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("refusal", {}),
        ("pause_turn", {}),
        ("max_tokens", {}),
        ("model_context_window_exceeded", {}),
        ("stop_sequence", {"stop_sequences": ["never said"]}),
        ("tool_use", {"tools": [TOOL]}),
    ],
)
async def test_on_demand(reason: str, fields: dict[str, Any], stream: bool) -> None:
    """The answer ends behind its first piece, and that much of it is billed."""
    async with running(Scripted(answer("one two three four", tokens=300))) as to:
        headers = {"x-emulator-fault": reason}
        message = await told(to, stream=stream, extra_headers=headers, **fields)
        (bill,) = to.emulator.account.bills()
    assert message.stop_reason == reason
    kinds = ["text", "tool_use"] if reason == "tool_use" else ["text"]
    assert [b.type for b in message.content] == kinds
    assert bill.outcome == "completed"
    assert 1 <= message.usage.output_tokens == bill.tokens.output < 10
    if reason == "refusal":
        assert message.stop_details is not None
        assert message.stop_details.category == "general_harms"
    if reason == "stop_sequence":
        assert message.stop_sequence == "never said"


@pytest.mark.parametrize("reason", ["stop_sequence", "tool_use"])
async def test_what_a_request_does_not_allow_for_cannot_be_demanded(reason: str) -> None:
    async with running(Scripted(answer("one two"))) as to:
        headers = {"x-emulator-fault": reason}
        message = await told(to, stream=False, extra_headers=headers)
    assert message.stop_reason == "end_turn"


async def test_a_share_of_answers_pauses() -> None:
    async with running(Scripted(answer("one two")), faults={"pause_turn": 0.5}, seed=4) as to:
        reasons = [(await to.ask()).stop_reason for _ in range(30)]
    assert set(reasons) == {"pause_turn", "end_turn"}
