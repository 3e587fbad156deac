"""What happens to one request to the emulator, apart from how it travels."""

import functools
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from typing import Any

from serving.backend import Backend, Call
from serving.hosted.emulator.answer import Event, Job, events
from serving.hosted.emulator.errors import ApiError, invalid
from serving.hosted.emulator.faults import Faults
from serving.hosted.emulator.limits import RateLimits
from serving.hosted.emulator.prompt_cache import PromptCache, positions
from serving.hosted.emulator.signatures import Origin, Signer, prefix_digest
from serving.hosted.emulator.thinking import check_replayed, thinking_of
from serving.hosted.emulator.validate import (
    SHAPES,
    check_prompt,
    check_request,
    parse_messages,
    parse_prompt,
)
from serving.hosted.emulator.wire import MessagesRequest
from serving.hosted.models import Catalog, ModelAbility

ANSWER_S = 600.0


class Core:
    """State and rules of one emulated API: models, keys, prompt cache, limits and faults."""

    def __init__(
        self,
        answer: Mapping[str, Backend],
        catalog: Catalog,
        *,
        keys: Collection[str] | None,
        secret: bytes,
        cache: PromptCache,
        limits: RateLimits,
        faults: Faults,
    ) -> None:
        self._answer, self._catalog, self._keys = answer, catalog, keys
        self._signer, self.cache = Signer(secret), cache
        self.limits, self.faults = limits, faults

    @property
    def models(self) -> dict[str, ModelAbility]:
        return {model: self._catalog.ability(model) for model in self._answer}

    def workspace(self, headers: Mapping[str, str]) -> str:
        """Whose request this is: each key is a workspace of its own. 401 without a valid key."""
        bearer = headers.get("authorization", "")
        given = bearer[7:].strip() if bearer[:7].lower() == "bearer " else ""
        key = headers.get("x-api-key", "").strip() or given
        if not key:
            raise ApiError(401, "x-api-key header or Authorization: Bearer is required")
        if self._keys is not None and key not in self._keys:
            raise ApiError(401, "invalid x-api-key")
        return hashlib.sha256(key.encode()).hexdigest()[:16]

    def version(self, headers: Mapping[str, str]) -> str:
        """The API version; 400 where it is missing or unknown."""
        found = headers.get("anthropic-version")
        if found is None:
            raise invalid("anthropic-version: header is required")
        if found not in SHAPES:
            raise invalid(f'anthropic-version: "{found}" is not a valid version')
        return found

    def job(self, raw: bytes, version: str, workspace: str, request_id: str) -> Job:
        """A request that may be answered, or the error that the API would give instead."""
        request = parse_messages(_json(raw), version)
        backend, ability = self._model(request.model)
        check_request(request, ability)
        dropped = check_replayed(request, ability, self._signer, workspace)
        rows = positions(request, ability, dropped)
        total = rows[-1].tokens
        if total > ability.context:
            raise invalid(f"prompt is too long: {total} tokens > {ability.context} maximum")
        plan = self.cache.plan(workspace, rows, ability.min_cacheable)
        self.limits.count(workspace, input_tokens=plan.input_tokens + plan.written)
        deadline = time.monotonic() + ANSWER_S
        return Job(
            request=request,
            ability=ability,
            backend=backend,
            call=Call(request_id, workspace, deadline),
            plan=plan,
            thinking=thinking_of(request, ability),
            signature=self._signature(request, ability, workspace),
            begin=functools.partial(self.cache.commit, plan),
        )

    def count_tokens(self, raw: bytes) -> dict[str, int]:
        prompt = parse_prompt(_json(raw))
        _, ability = self._model(prompt.model)
        check_prompt(prompt, ability)
        return {"input_tokens": positions(prompt, ability)[-1].tokens}

    async def events(self, job: Job) -> AsyncGenerator[Event, None]:
        """The message's events; its output tokens count against the rate limits."""
        async with aclosing(events(job)) as found:
            async for event in found:
                if event["type"] == "message_delta":
                    used = event["usage"]["output_tokens"]
                    self.limits.count(job.call.tenant, output_tokens=used)
                yield event

    def _model(self, model: str) -> tuple[Backend, ModelAbility]:
        backend = self._answer.get(model)
        if backend is None:
            raise ApiError(404, f"model: {model}")
        return backend, self._catalog.ability(model)

    def _signature(self, request: MessagesRequest, ability: ModelAbility, workspace: str) -> str:
        thinking = thinking_of(request, ability)
        if thinking is None:
            return ""
        prefix = prefix_digest(request, len(request.messages))
        origin = Origin(request.model, workspace, prefix, thinking.omitted)
        return self._signer.sign(origin, thinking.text)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON") from None
