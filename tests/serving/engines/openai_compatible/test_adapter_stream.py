import asyncio
from typing import Any

import pytest

from serving.engines.openai_compatible.adapter import OpenAICompatible
from serving.errors import (
    TierError,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.completion import Usage
from tests.serving.engines.helpers import ask, assembled, call, check_order, chunks_of, until_error
from tests.serving.engines.openai_compatible.fake import Fake, counted, piece, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_stream(fake: Fake, backend: OpenAICompatible) -> None:
    fake.reply = fake.streams(
        piece(role="assistant", content=""),
        piece(content="Hel"),
        {"choices": [], "prompt_filter_results": []},
        piece(content="lo"),
        piece(finish="stop"),
        counted(),
        "[DONE]",
    )
    chunks = await chunks_of(backend, ask())
    check_order(chunks)
    whole = assembled(chunks)
    assert (whole.first.content, whole.first.finish_reason) == ("Hello", "stop")
    assert (whole.usage, whole.model) == (Usage(7, 3), "served-model")
    assert fake.bodies[0]["stream"] is True
    assert fake.bodies[0]["stream_options"] == {"include_usage": True}


TRUNCATED = [piece(role="assistant", content=""), piece(content="Hel")]


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([*TRUNCATED, RuntimeError("cut")], TierProtocolError),
        (TRUNCATED, TierProtocolError),
        ([*TRUNCATED, "[DONE]"], TierProtocolError),
        ([*TRUNCATED, "{ no json"], TierProtocolError),
        ([*TRUNCATED, {"choices": 5}], TierProtocolError),
        ([*TRUNCATED, {"error": {"message": "overloaded"}}], TierUnavailable),
        ([*TRUNCATED, {"error": {"message": "bad", "code": 400}}], TierRejected),
        ([*TRUNCATED, {"error": {"message": "slow", "code": "429"}}], TierRateLimited),
        ([*TRUNCATED, piece(finish="error")], TierProtocolError),
    ],
)
async def test_streams_that_fail_midway(
    fake: Fake, backend: OpenAICompatible, events: list[Any], kind: type[TierError]
) -> None:
    fake.reply = fake.streams(*events)
    got, raised = await until_error(backend, ask())
    assert type(raised) is kind
    assert "".join(c.content or "" for c in got) == "Hel"


@pytest.mark.parametrize("events", [[], ["[DONE]"], [counted(), "[DONE]"]])
async def test_streams_without_an_answer(
    fake: Fake, backend: OpenAICompatible, events: list[Any]
) -> None:
    fake.reply = fake.streams(*events)
    got, raised = await until_error(backend, ask())
    assert (got, type(raised)) == ([], TierProtocolError)


async def test_an_answer_in_one_piece_where_a_stream_was_asked_for(
    fake: Fake, backend: OpenAICompatible
) -> None:
    got, raised = await until_error(backend, ask())
    assert (got, type(raised)) == ([], TierProtocolError)


async def test_a_stream_past_its_deadline(fake: Fake) -> None:
    backend = OpenAICompatible(settings(fake.url, deadline_s=0.3))
    fake.reply = fake.streams(*TRUNCATED, hold=True)
    got, raised = await until_error(backend, ask())
    assert isinstance(raised, TierTimeout)
    assert len(got) == 2
    await aborted(fake)
    await backend.aclose()


async def aborted(fake: Fake) -> None:
    """The server noticed that nobody reads on."""
    assert await asyncio.to_thread(fake.aborted.wait, 5)


async def test_closing_a_stream_stops_the_server(fake: Fake, backend: OpenAICompatible) -> None:
    fake.reply = fake.streams(*TRUNCATED, hold=True)
    stream = backend.stream(ask(), call())
    await anext(stream)
    await stream.aclose()
    await aborted(fake)


async def test_cancelling_a_stream_stops_the_server(fake: Fake, backend: OpenAICompatible) -> None:
    fake.reply = fake.streams(*TRUNCATED, hold=True)
    task = asyncio.create_task(chunks_of(backend, ask()))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await aborted(fake)
