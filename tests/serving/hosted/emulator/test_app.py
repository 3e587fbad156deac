"""The emulator over real HTTP: what a client that speaks the protocol sees."""

import asyncio
import json
from typing import Any

import anthropic
import httpx2
import pytest

from serving.errors import TierRateLimited, TierUnavailable
from serving.hosted.emulator.exchange import MAX_BODY_BYTES
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS, Scripted, answer, emulated

HEADERS = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
USER = {"role": "user", "content": "Hi"}


async def post(
    url: str, body: Any = None, headers: dict[str, str] | None = None, path: str = "/v1/messages"
) -> httpx2.Response:
    base = {"model": OPUS, "max_tokens": 500, "messages": [USER]}
    content = body if isinstance(body, bytes) else json.dumps(base | (body or {}))
    async with httpx2.AsyncClient(base_url=url) as client:
        return await client.post(path, content=content, headers=HEADERS | (headers or {}))


def error(response: httpx2.Response) -> tuple[int, str, str]:
    body = response.json()
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"]
    assert body["request_id"].startswith("req_")
    return response.status_code, body["error"]["type"], body["error"]["message"]


async def test_a_message() -> None:
    async with emulated(Scripted(answer("Paris."))) as url:
        response = await post(url)
    assert response.status_code == 200
    body = response.json()
    assert (body["type"], body["role"], body["model"]) == ("message", "assistant", OPUS)
    assert [b["type"] for b in body["content"]] == ["thinking", "text"]
    assert body["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0,
    }  # fmt: skip
    assert response.headers["anthropic-ratelimit-requests-remaining"] == "999999"
    assert response.headers["content-type"] == "application/json"


async def test_the_bytes_of_a_stream() -> None:
    async with emulated(Scripted(answer("Hi"))) as url:
        response = await post(url, {"stream": True, "model": OLD_HAIKU})
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = response.content.decode().split("\n\n")
    assert lines.pop() == ""
    names = []
    for line in lines:
        head, data = line.split("\n")
        assert data.startswith("data: {")
        assert head == f"event: {json.loads(data[6:])['type']}"
        names.append(head[7:])
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"authorization": ""}, 401, "required"),
        ({"authorization": "Basic x"}, 401, "required"),
        ({"authorization": "Bearer wrong"}, 401, "invalid x-api-key"),
        ({"x-api-key": "wrong"}, 401, "invalid"),
        ({"anthropic-version": "2020-01-01"}, 400, "not a valid version"),
    ],
)
async def test_keys_and_versions(headers: dict[str, str], status: int, message: str) -> None:
    async with emulated(keys={"k"}) as url:
        assert (await post(url)).status_code == 200
        both = {"authorization": "", "x-api-key": "k"}
        assert (await post(url, headers=both)).status_code == 200
        found = error(await post(url, headers=headers))
    assert found[0] == status
    assert message in found[2]


async def test_a_version_is_required() -> None:
    async with emulated() as url, httpx2.AsyncClient(base_url=url) as client:
        response = await client.post("/v1/messages", json={}, headers={"x-api-key": "k"})
    assert error(response) == (
        400,
        "invalid_request_error",
        "anthropic-version: header is required",
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"{broken", (400, "invalid_request_error", "The request body is not valid JSON")),
        (b"[" * 200_000, (400, "invalid_request_error", "The request body is not valid JSON")),
        (b"[]", (400, "invalid_request_error", "the request body must be a JSON object")),
        ({"model": "gpt-9"}, (404, "not_found_error", "model: gpt-9")),
        (
            {"temperature": 1.0},
            (400, "invalid_request_error", "temperature: Extra inputs are not permitted"),
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "It is"}]},
            (
                400,
                "invalid_request_error",
                "This model does not support assistant message prefill."
                " The conversation must end with a user message.",
            ),
        ),
    ],
)
async def test_errors(body: Any, found: tuple[int, str, str]) -> None:
    async with emulated() as url:
        assert error(await post(url, body)) == found


async def test_an_unknown_path_and_method() -> None:
    async with emulated() as url:
        assert error(await post(url, path="/v1/complete"))[:2] == (404, "not_found_error")
        assert error(await post(url, path="/v1/models"))[0] == 405


async def test_a_body_over_32_mb_is_413_with_and_without_its_length() -> None:
    async def pieces() -> Any:
        for _ in range(33):
            yield b"x" * (1024 * 1024)

    async with emulated() as url, httpx2.AsyncClient(base_url=url, headers=HEADERS) as client:
        whole = await client.post("/v1/messages", content=b"x" * (MAX_BODY_BYTES + 1))
        chunked = await client.post("/v1/messages", content=pieces())
    assert error(whole)[:2] == error(chunked)[:2] == (413, "request_too_large")


async def test_a_prompt_beyond_the_context() -> None:
    async with emulated() as url:
        long = {"role": "user", "content": "word " * 201_000}
        found = error(await post(url, {"model": OLD_HAIKU, "messages": [long]}))
    assert found[2] == "prompt is too long: 201002 tokens > 200000 maximum"


async def test_rate_limits() -> None:
    async with emulated(requests_per_minute=1) as url:
        assert (await post(url)).status_code == 200
        response = await post(url)
    assert error(response)[:2] == (429, "rate_limit_error")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert response.headers["anthropic-ratelimit-requests-remaining"] == "0"


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("429", (429, "rate_limit_error")),
        ("500", (500, "api_error")),
        ("529", (529, "overloaded_error")),
        ("overloaded_midstream", (529, "overloaded_error")),
    ],
)
async def test_faults_by_header(fault: str, found: tuple[int, str]) -> None:
    async with emulated() as url:
        assert error(await post(url, headers={"x-emulator-fault": fault}))[:2] == found


async def test_a_spend_limit_says_so_and_gives_no_time_to_wait() -> None:
    async with emulated(faults={"spend_limit": 1.0}) as url:
        response = await post(url)
    assert error(response)[:2] == (429, "rate_limit_error")
    assert "retry-after" not in response.headers
    assert response.json()["error"]["details"]["error_code"] == "enforced_spend_limit_reached"


@pytest.mark.parametrize("stream", [False, True])
async def test_malformed_answers(stream: bool) -> None:
    async with emulated() as url:
        response = await post(url, {"stream": stream}, {"x-emulator-fault": "malformed"})
    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.content.decode().rsplit("data: ", 1)[-1])


async def test_an_error_in_the_midst_of_a_stream() -> None:
    async with emulated(Scripted(answer("one two three"))) as url:
        headers = {"x-emulator-fault": "overloaded_midstream"}
        response = await post(url, {"stream": True}, headers)
    assert response.status_code == 200
    last = response.content.decode().split("\n\n")[-2]
    assert last.startswith("event: error\n")
    assert json.loads(last.split("data: ")[1])["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(
    ("failure", "status"), [(TierUnavailable("x"), 529), (TierRateLimited("x"), 429)]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_backend_that_fails(failure: Any, status: int, stream: bool) -> None:
    async with emulated(Scripted(failure)) as url:
        assert error(await post(url, {"stream": stream}))[0] == status


@pytest.mark.parametrize("stream", [False, True])
async def test_the_backend_stops_when_the_client_leaves(stream: bool) -> None:
    backend = Scripted(answer("one two three four"), delay=5.0)
    async with emulated(backend) as url:
        task = asyncio.create_task(post(url, {"stream": stream}))
        async with asyncio.timeout(2):
            await backend.started.wait()
            task.cancel()
            await backend.closed.wait()


async def test_the_sdk_counts_tokens_and_lists_models() -> None:
    async with emulated() as url, anthropic.AsyncAnthropic(api_key="k", base_url=url) as client:
        counted = await client.messages.count_tokens(
            model=HAIKU, messages=[{"role": "user", "content": "one two three"}]
        )
        answered = await client.messages.create(
            model=HAIKU, max_tokens=500, messages=[{"role": "user", "content": "one two three"}]
        )
        models = [m async for m in client.models.list()]
        one = await client.models.retrieve(OPUS)
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("claude-0")
    assert counted.input_tokens == answered.usage.input_tokens
    assert {m.id for m in models} >= {OPUS, HAIKU}
    assert (one.max_tokens, one.max_input_tokens, one.line) == (128_000, 1_000_000, "opus")
    assert one.capabilities is not None
    assert not one.capabilities.thinking.types.disabled.supported
    assert one.capabilities.effort.xhigh is not None


async def test_the_sync_sdk_and_its_stream_helper() -> None:
    def talk(url: str) -> tuple[str, Any]:
        client = anthropic.Anthropic(api_key="k", base_url=url)
        with (
            client,
            client.messages.stream(
                model=OPUS, max_tokens=500, messages=[{"role": "user", "content": "Hi"}]
            ) as stream,
        ):
            return "".join(stream.text_stream), stream.get_final_message()

    async with emulated(Scripted(answer("Paris is it."))) as url:
        text, message = await asyncio.to_thread(talk, url)
    assert text == "Paris is it."
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 63
    assert [b.type for b in message.content] == ["thinking", "text"]


async def test_the_prompt_cache_over_http_is_the_keys_own() -> None:
    system = [{"type": "text", "text": "word " * 600, "cache_control": {"type": "ephemeral"}}]
    async with emulated() as url:
        usages = [
            (await post(url, {"system": system}, {"x-api-key": key})).json()["usage"]
            for key in ("a", "a", "b")
        ]
    assert [u["cache_read_input_tokens"] for u in usages] == [0, 782, 0]
    assert [u["cache_creation_input_tokens"] for u in usages] == [782, 0, 782]
    assert usages[0]["cache_creation"]["ephemeral_5m_input_tokens"] == 782


async def test_concurrent_requests_all_write_until_the_first_has_begun() -> None:
    """The fan-out trap: a prefix that is being written cannot be read yet."""
    system = [{"type": "text", "text": "word " * 600, "cache_control": {"type": "ephemeral"}}]
    async with emulated(Scripted(delay=0.02)) as url:
        together = await asyncio.gather(*(post(url, {"system": system}) for _ in range(3)))
        after = await post(url, {"system": system})
    assert [r.json()["usage"]["cache_read_input_tokens"] for r in together] == [0, 0, 0]
    assert after.json()["usage"]["cache_read_input_tokens"] == 782


async def test_thinking_comes_back_signed_and_an_edit_is_refused() -> None:
    async with emulated() as url:
        first = (await post(url)).json()
        turns = [USER, {"role": "assistant", "content": first["content"]}, USER]
        assert (await post(url, {"messages": turns})).status_code == 200
        edited = [{"role": "user", "content": "Hello"}, *turns[1:]]
        found = error(await post(url, {"messages": edited}))
        first["content"][0]["signature"] = "AAAA"
        forged = error(await post(url, {"messages": turns}))
    assert "bound to a different conversation" in found[2]
    assert forged[2] == "messages.1.content.0: Invalid `signature` in `thinking` block"
