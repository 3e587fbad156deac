"""Sends requests through the `openai` client, a fixed number at a time, and times the answers."""

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import httpx2  # the transport of the openai SDK
import openai
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from openai.types.completion_usage import CompletionUsage

from deploy.cli.replay.read import BadLine, Line
from deploy.cli.replay.trace import RouteTrace, one_line, parse_trace


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go and how. `stream` None streams where the line asks for it; `task` tags
    lines that have no task of their own. More than 0 `retries` make the count of attempts a lower
    bound: what a lost try cost is not seen.
    """

    url: str
    api_key: str | None = None
    model: str = "auto"
    task: str | None = None
    stream: bool | None = None
    retries: int = 0
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `ttft_ms` is the client's own, of a stream. Tokens are those of `usage`."""

    model: str
    trace: RouteTrace | None
    prompt_tokens: int
    completion_tokens: int
    latency_ms: float
    ttft_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """No whole answer came. `kind` groups failures: a status and code, or what broke. `cut_off`:
    the request had left and no verdict on it came back, so without a trace its cost is not known.
    """

    kind: str
    message: str
    trace: RouteTrace | None = None
    cut_off: bool = False


Result = Answer | Failure


class Broken(Exception):
    """The server said 200 and then sent no whole answer. `seen` is the trace, if it came."""

    def __init__(self, message: str, seen: RouteTrace | None = None) -> None:
        super().__init__(message)
        self.seen = seen


class Sender:
    """One client for all requests. Close it."""

    def __init__(self, target: Target, *, concurrency: int) -> None:
        self._target = target
        limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        # A proxy from the environment is for the world outside, never for a server on this host.
        direct = is_loopback(target.url)
        self._headers = own_headers(target.api_key)
        self._client = openai.AsyncOpenAI(
            base_url=with_version(target.url),
            api_key=target.api_key or "none",
            admin_api_key="",
            max_retries=target.retries,
            timeout=target.timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits, trust_env=not direct),
        )

    async def aclose(self) -> None:
        await self._client.close()

    async def send(self, line: Line) -> Result:
        """The answer, or why there is none. Only cancellation raises."""
        body = self._body(line)
        stream = bool(body.pop("stream", False))
        messages = cast("list[ChatCompletionMessageParam]", body.pop("messages"))
        try:
            if stream:
                return await self._stream(messages, body)
            return await self._whole(messages, body)
        except openai.APIStatusError as error:
            kind = one_line(f"{error.status_code} {error.code or error.type or ''}".rstrip())
            return Failure(kind, one_line(error.message), _trace_of(error))
        except openai.APIError as error:
            kind = one_line(error.code or type(error).__name__)
            return Failure(kind, one_line(_cause(error)), _trace_of(error), cut_off=True)
        except Broken as broken:
            return Failure("broken answer", one_line(str(broken)), broken.seen, cut_off=True)
        except Exception as error:  # whatever a client meets, each request is counted once
            return Failure(type(error).__name__, one_line(str(error)), cut_off=True)

    def _body(self, line: Line) -> dict[str, Any]:
        target = self._target
        options = {"explain": True, **(line.body.get("stepwell") or {})} | {"explain": True}
        tagged = "task" in options or "task" in (line.body.get("metadata") or {})
        if target.task is not None and not tagged:
            options["task"] = target.task
        body = {**line.body, "model": target.model, "stepwell": options}
        if target.stream is not None:
            body["stream"] = target.stream
        if body.get("stream"):
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        else:
            body.pop("stream_options", None)
        return body

    async def _whole(
        self, messages: list[ChatCompletionMessageParam], extra: dict[str, Any]
    ) -> Answer:
        started = time.perf_counter()
        answer: object = await self._client.chat.completions.create(
            model=extra.pop("model"),
            messages=messages,
            extra_body=extra,
            extra_headers=self._headers,
        )
        latency_ms = _ms_since(started)
        # The SDK returns text where the body is not labelled JSON.
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise Broken("the body is no chat completion")
        trace = parse_trace((answer.model_extra or {}).get("stepwell"))
        prompt, completion = _tokens(answer.usage)
        return Answer(one_line(answer.model), trace, prompt, completion, latency_ms)

    async def _stream(
        self, messages: list[ChatCompletionMessageParam], extra: dict[str, Any]
    ) -> Answer:
        started = time.perf_counter()
        chunks = await self._client.chat.completions.create(
            model=extra.pop("model"),
            messages=messages,
            stream=True,
            extra_body=extra,
            extra_headers=self._headers,
        )
        ttft_ms: float | None = None
        trace: RouteTrace | None = None
        usage: CompletionUsage | None = None
        model, finished = "", False
        async with chunks:
            async for chunk in chunks:
                model = chunk.model or model
                usage = chunk.usage or usage
                trace = parse_trace((chunk.model_extra or {}).get("stepwell")) or trace
                for choice in chunk.choices:
                    if ttft_ms is None and (choice.delta.content or choice.delta.tool_calls):
                        ttft_ms = _ms_since(started)
                    finished = finished or choice.finish_reason is not None
        if not finished:
            raise Broken("the stream ended without a finish_reason", trace)
        prompt, completion = _tokens(usage)
        return Answer(one_line(model), trace, prompt, completion, _ms_since(started), ttft_ms)


async def replay(
    lines: AsyncIterator[Line | BadLine],
    sender: Sender,
    *,
    concurrency: int,
    seen: Callable[[Line | BadLine, Result], None],
) -> None:
    """Sends every line, `concurrency` at a time, and tells `seen` what became of each. Lines are
    drawn only as fast as they are sent, so memory does not grow with the file.
    """
    turn = asyncio.Lock()

    async def work() -> None:
        while True:
            async with turn:
                line = await anext(lines, None)
            if line is None:
                return
            if isinstance(line, BadLine):
                seen(line, Failure("bad line", line.reason))
            else:
                seen(line, await sender.send(line))

    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(work())


def own_headers(api_key: str | None) -> dict[str, str | openai.Omit]:
    """For every request: the SDK would send what its own variables hold to whatever server is
    asked.
    """
    headers: dict[str, str | openai.Omit] = {
        "OpenAI-Organization": openai.Omit(),
        "OpenAI-Project": openai.Omit(),
    }
    if api_key is None:
        headers["Authorization"] = openai.Omit()
    return headers


def with_version(url: str) -> str:
    """The URL with `/v1` where it names only a host."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path="/v1")) if parts.path in {"", "/"} else url


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tokens(usage: CompletionUsage | None) -> tuple[int, int]:
    return (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)


def _trace_of(error: openai.APIError) -> RouteTrace | None:
    """Failed requests cost money too: the trace stands in the error or beside it."""
    inside = error.body.get("stepwell") if isinstance(error.body, dict) else None
    trace = parse_trace(inside)
    if trace is not None or not isinstance(error, openai.APIStatusError):
        return trace
    try:
        body = error.response.json()
    except ValueError:
        return None
    return parse_trace(body.get("stepwell")) if isinstance(body, dict) else None


def _cause(error: openai.APIError) -> str:
    """ "Connection error." alone helps nobody; the transport's own words follow it."""
    cause = error.__cause__
    return f"{error.message} ({cause})" if cause is not None and str(cause) else error.message


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1_000
