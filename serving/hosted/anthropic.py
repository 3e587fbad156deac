"""Claude through the `anthropic` SDK, as a Backend. Nothing of the SDK leaves this module."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from serving.allowance import Report
from serving.backend import Ability, Call
from serving.errors import TierError, TierProtocolError, TierTimeout
from serving.hosted.allowances import allowances
from serving.hosted.client import client, time_left
from serving.hosted.errors import from_sdk, is_thinking_mismatch
from serving.hosted.models import catalog
from serving.hosted.translate.replay import THINKING
from serving.hosted.translate.request import Target, to_anthropic
from serving.hosted.translate.response import to_completion
from serving.hosted.translate.stream import StreamTranslator
from serving.hosted.translate.thinking import plan_thinking
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Chunk, Completion

if TYPE_CHECKING:
    from anthropic import AsyncStream
    from anthropic.types import RawMessageStreamEvent

# What reaches Claude, translated. `metadata` and `service_tier` are read by Stepwell itself.
PARAMS = frozenset(
    {
        "cache_control",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "n",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "service_tier",
        "stop",
        "stream_options",
        "tool_choice",
        "tools",
        "user",
    }
)


def anthropic_ability(tier: TierSettings) -> Ability:
    """What the tier's model honours; sampling parameters and logprobs are no part of it."""
    model = catalog().ability(tier.model)
    explicit = "context_tokens" in tier.model_fields_set
    return Ability(
        params=PARAMS,
        tools=True,
        forced_tool_choice=model.forced_tool_choice,
        images=True,
        json_schema=True,
        logprobs=False,
        multiple_choices=False,
        context_tokens=min(model.context, tier.context_tokens) if explicit else model.context,
    )


def thinking_room(tier: TierSettings, request: ChatRequest) -> int:
    """Tokens that the tier may spend on thoughts beyond its output limit."""
    effort = request.reasoning_effort or tier.effort
    return plan_thinking(effort, catalog().ability(tier.model), catalog()).room


class Anthropic:
    """One tier of Claude. `base_url` replaces the tier's own (the emulator's address is known only
    once it runs). Raises `ConfigError` where the SDK or the key is missing. Retries are the
    caller's: the SDK does none here. `report` hears what answers say is left of the rate limits.
    """

    def __init__(
        self, tier: TierSettings, *, base_url: str | None = None, report: Report | None = None
    ) -> None:
        self._client = client(tier, base_url)
        self._tier, self._catalog, self._report = tier, catalog(), report
        self._target = Target(tier.model, tier.output.max_tokens, tier.effort)

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        message = await self._ask(request, call, self._deadline(call), stream=False)
        if isinstance(message, str):  # what the SDK returns where the answer is no JSON
            raise TierProtocolError(f"tier {self._tier.name}: the answer is not JSON")
        return to_completion(message.to_dict(mode="python"), int(time.time()))

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[Chunk, None]:
        deadline = self._deadline(call)
        source = await self._ask(request, call, deadline, stream=True)
        try:
            async with aclosing(self._chunks(source, deadline)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            await source.close()

    async def aclose(self) -> None:
        """Closes the connections; the adapter is of no use afterwards."""
        await self._client.sdk.close()

    async def _chunks(
        self, source: "AsyncStream[RawMessageStreamEvent]", deadline: float
    ) -> AsyncGenerator[Chunk, None]:
        """The stream's chunks; each wait for an event ends at the deadline."""
        translator = StreamTranslator(int(time.time()))
        events = aiter(source)
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await anext(events, None)
            except Exception as error:
                raise self._ours(error) from None
            if event is None:
                break
            for chunk in translator.feed(event.to_dict(mode="python")):
                yield chunk
        for chunk in translator.finish():
            yield chunk

    async def _ask(self, request: ChatRequest, call: Call, deadline: float, *, stream: bool) -> Any:
        """The SDK's message or open stream. A request that the API refuses for a thinking block
        that it carries is sent once more without any; nothing is billed for the refusal.
        """
        kwargs = self._translate(request, call, replay_thinking=True)
        try:
            return await self._send(kwargs, deadline, stream=stream)
        except Exception as error:
            if not (_carries_thinking(kwargs) and is_thinking_mismatch(error)):
                raise self._ours(error) from None
        kwargs = self._translate(request, call, replay_thinking=False)
        try:
            return await self._send(kwargs, deadline, stream=stream)
        except Exception as error:
            raise self._ours(error) from None

    async def _send(self, kwargs: dict[str, Any], deadline: float, *, stream: bool) -> Any:
        left_at = time.monotonic()
        headers: Mapping[str, str] = {}
        try:
            async with asyncio.timeout_at(deadline):
                raw = await self._client.sdk.messages.with_raw_response.create(
                    **kwargs, stream=stream, timeout=time_left(deadline)
                )
                headers = raw.headers
                return await raw.parse()
        except Exception as error:
            headers = getattr(getattr(error, "response", None), "headers", headers)
            raise
        finally:
            if self._report is not None and (found := allowances(headers)):
                self._report(found, time.monotonic() - left_at)

    def _ours(self, error: Exception) -> TierError:
        return from_sdk(error, self._tier.name, scrub=self._client.scrub)

    def _translate(
        self, request: ChatRequest, call: Call, *, replay_thinking: bool
    ) -> dict[str, Any]:
        """What to send; the trace says what was dropped or changed on the way."""
        found = to_anthropic(request, self._target, self._catalog, replay_thinking=replay_thinking)
        call.trace.drop(found.dropped)
        for note in found.notes if replay_thinking else ():
            call.trace.note(self._tier.name, "translated", note)
        if not replay_thinking:
            reason = "Claude refused them: what came before them has changed"
            call.trace.note(self._tier.name, "earlier thinking left out", reason)
        return found.kwargs

    def _deadline(self, call: Call) -> float:
        """When this attempt ends, in the loop's time; `TierTimeout` where no time is left."""
        seconds = min(call.remaining, self._tier.deadline_s)
        if seconds <= 0:
            raise TierTimeout(f"tier {self._tier.name}: no time left for an attempt")
        return asyncio.get_running_loop().time() + seconds


def _carries_thinking(kwargs: dict[str, Any]) -> bool:
    return any(b["type"] in THINKING for m in kwargs["messages"] for b in m["content"])
