"""/v1/responses in front of a scripted backend, over real HTTP with the unmodified SDK."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.api.responses import add_response_routes
from serving.backend import Backend
from serving.batch.enqueue import Background
from serving.errors import TierUnavailable
from serving.settings.key_hash import digest
from serving.storage.database import Database
from serving.storage.responses import ResponseStore, StoredResponse
from serving.wire.completion import Chunk, ToolCallPart
from tests.serving.api.scripted import HEAD, Scripted
from tests.serving.api.server import KEY, Server, serving

OTHER = KEY.replace("abc", "xyz")


class Away(ResponseStore):
    """A store whose database is away when it is to write."""

    async def add(self, response: StoredResponse) -> None:
        raise OSError(f"no database for {response.id}")


@asynccontextmanager
async def served(
    backend: Backend,
    folder: Path,
    store: type[ResponseStore] = ResponseStore,
    *,
    queues: bool = False,
    **changes: Any,
) -> AsyncIterator[Server]:
    """Where it `queues`, responses in the background are taken, and nobody answers them."""
    database = await Database.open(f"sqlite:///{folder / 'r.db'}")
    try:
        async with serving(backend, **changes) as server:
            desk = server.app.state.desk
            background = Background(database, most_open=10) if queues else None
            add_response_routes(server.app, desk, store(database), background)
            yield server
    finally:
        await database.close()


def key(name: str, secret: str, **limits: Any) -> dict[str, Any]:
    return {"id": name, "tenant": name, "hash": digest(secret), "limits": limits}


async def test_another_tenant_finds_nothing(tmp_path: Path) -> None:
    keys = [key("one", KEY), key("two", OTHER)]
    async with served(Scripted(), tmp_path, keys=keys) as server:
        made = await server.sdk().responses.create(model="auto", input="Hi")
        theirs = server.sdk(OTHER).responses
        for ask in (theirs.retrieve, theirs.delete, theirs.input_items.list):
            with pytest.raises(openai.NotFoundError):
                await ask(made.id)
        with pytest.raises(openai.NotFoundError):
            await theirs.create(model="auto", input="Hi", previous_response_id=made.id)
        assert (await server.sdk().responses.retrieve(made.id)).output_text == "Hello world"


async def test_limits_of_the_key_are_told_in_this_apis_words(tmp_path: Path) -> None:
    keys = [key("one", KEY, max_output_tokens=10)]
    backend = Scripted()
    async with served(backend, tmp_path, keys=keys) as server:
        with pytest.raises(openai.BadRequestError, match="'max_output_tokens'") as caught:
            await server.sdk().responses.create(model="auto", input="Hi", max_output_tokens=11)
        assert caught.value.param == "max_output_tokens"
        await server.sdk().responses.create(model="auto", input="Hi")
    ((request, call),) = backend.asked
    assert request.max_completion_tokens == 10
    assert call.tenant == "one"


@pytest.mark.parametrize("items", [3, 2])
async def test_a_conversation_is_as_long_as_a_chat_may_be(tmp_path: Path, items: int) -> None:
    given: list[Any] = [{"role": "user", "content": "Hi"}] * items
    async with served(Scripted(), tmp_path, limits={"max_messages": 3}) as server:
        made = await server.sdk().responses.create(model="auto", input=given)
        with pytest.raises(openai.BadRequestError, match="at most 3"):
            await server.sdk().responses.create(
                model="auto", input="Hi", previous_response_id=made.id
            )


async def test_a_stream_that_fails_on_its_way_is_kept_as_failed(tmp_path: Path) -> None:
    backend = Scripted(("Half", TierUnavailable("gone")))
    async with served(backend, tmp_path) as server:
        stream = await server.sdk().responses.create(model="auto", input="Hi", stream=True)
        last = [event async for event in stream][-1]
        assert last.type == "response.failed"
        kept = await server.sdk().responses.retrieve(last.response.id)
    assert kept.status == "failed"
    assert kept.output_text == "Half"
    assert kept.error is not None
    assert "gone" in kept.error.message


async def test_an_error_before_the_first_word_is_an_http_error(tmp_path: Path) -> None:
    async with served(Scripted((TierUnavailable("gone"),)), tmp_path) as server:
        for streams in (False, True):
            with pytest.raises(openai.InternalServerError):
                await server.sdk().responses.create(model="auto", input="Hi", stream=streams)


async def test_an_answer_survives_a_database_that_is_away(tmp_path: Path) -> None:
    async with served(Scripted(), tmp_path, Away) as server:
        made = await server.sdk().responses.create(model="auto", input="Hi")
        assert (made.output_text, made.model_dump()["store"]) == ("Hello world", False)
        stream = await server.sdk().responses.create(model="auto", input="Hi", stream=True)
        last = [event async for event in stream][-1]
        assert last.type == "response.completed"
        assert last.response.model_dump()["store"] is False


async def test_what_is_too_large_is_not_stored(tmp_path: Path) -> None:
    async with served(Scripted(), tmp_path, responses={"max_bytes": 2_000}) as server:
        made = await server.sdk().responses.create(model="auto", input="long " * 500)
        assert made.model_dump()["store"] is False
        with pytest.raises(openai.NotFoundError):
            await server.sdk().responses.retrieve(made.id)


async def test_when_the_client_leaves_nothing_is_stored(tmp_path: Path) -> None:
    never = asyncio.Event()
    backend = Scripted(("Hello", never))
    async with served(backend, tmp_path) as server:
        stream = await server.sdk().responses.create(model="auto", input="Hi", stream=True)
        event = await anext(aiter(stream))
        await stream.close()
        async with asyncio.timeout(5):
            await backend.stopped.wait()
        assert event.type == "response.created"
        with pytest.raises(openai.NotFoundError):
            await server.sdk().responses.retrieve(event.response.id)


async def test_thoughts_and_blocks_for_the_provider_come_back(tmp_path: Path) -> None:
    blocks = {"provider": "anthropic", "model": "m", "content": []}
    call = ToolCallPart(0, "c1", "look", "{}")
    said: list[Chunk] = [
        Chunk(HEAD.id, HEAD.created, HEAD.model, reasoning="Hm."),
        Chunk(HEAD.id, HEAD.created, HEAD.model, tool_calls=(call,)),
        Chunk(HEAD.id, HEAD.created, HEAD.model, provider_content=blocks),
    ]
    backend = Scripted(said)
    async with served(backend, tmp_path) as server:
        made = await server.sdk().responses.create(model="auto", input="Hi")
        assert [item.type for item in made.output] == ["reasoning", "function_call"]
        output: Any = {"type": "function_call_output", "call_id": "c1", "output": "seen"}
        await server.sdk().responses.create(
            model="auto", input=[output], previous_response_id=made.id
        )
    request, _ = backend.asked[-1]
    assert [m.role for m in request.messages] == ["user", "assistant", "tool"]
    assert request.messages[1].provider_content == blocks


async def test_what_a_worker_would_refuse_is_not_queued(tmp_path: Path) -> None:
    calls = tuple(ToolCallPart(n, f"c{n}", "look", "{}") for n in range(3))
    said = [Chunk(HEAD.id, HEAD.created, HEAD.model, tool_calls=calls)]
    limits = {"max_messages": 6}
    async with served(Scripted(said), tmp_path, queues=True, limits=limits) as server:
        responses = server.sdk().responses
        made = await responses.create(model="auto", input="Hi")
        output: Any = [
            {"type": "function_call_output", "call_id": f"c{n}", "output": "seen"} for n in range(3)
        ]
        asked: Any = {"model": "auto", "previous_response_id": made.id, "background": True}
        with pytest.raises(openai.BadRequestError, match="at most 6 are allowed, got 7") as caught:
            await responses.create(input=output, **asked)
        assert caught.value.param == "input"
        queued = await responses.create(input=output[:2], **asked)
        assert queued.status == "queued"


async def test_items_come_in_pages(tmp_path: Path) -> None:
    given: list[Any] = [{"role": "user", "content": str(n)} for n in range(5)]
    async with served(Scripted(), tmp_path) as server:
        items = server.sdk().responses.input_items
        made = await server.sdk().responses.create(model="auto", input=given)
        texts = [i.content[0].text async for i in items.list(made.id, limit=2, order="asc")]  # type: ignore[union-attr,index]  # all are texts
        assert texts == list("01234")
        page = await items.list(made.id, limit=2)
        assert (page.has_more, page.data[0].id[-4:]) == (True, "0004")
        with pytest.raises(openai.BadRequestError):
            await items.list(made.id, after="msg_none")


async def test_what_is_stored_is_not_streamed(tmp_path: Path) -> None:
    async with served(Scripted(), tmp_path) as server:
        made = await server.sdk().responses.create(model="auto", input="Hi")
        with pytest.raises(openai.BadRequestError, match="stream"):
            await server.sdk().responses.retrieve(made.id, stream=True)
