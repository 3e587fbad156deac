"""What happens to one request to the emulator, apart from how it travels."""

import functools
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from decimal import Decimal
from typing import Any

from serving.backend import Backend, Call
from serving.hosted.emulator.answer import Answer, Job, Place
from serving.hosted.emulator.billing.account import Account, Bill
from serving.hosted.emulator.billing.prices import Tokens
from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.diagnostics import Diagnostics
from serving.hosted.emulator.errors import ApiError, invalid
from serving.hosted.emulator.faults import Faults
from serving.hosted.emulator.ids import new_id
from serving.hosted.emulator.limits import RateLimits
from serving.hosted.emulator.positions import TokenCounts, positions
from serving.hosted.emulator.prompt_cache import PromptCache
from serving.hosted.emulator.signatures import Origin, Signer, prefix_digest
from serving.hosted.emulator.thinking import check_replayed, thinking_of
from serving.hosted.emulator.validate import (
    SHAPES,
    check_batched,
    check_prompt,
    check_request,
    parse_messages,
    parse_prompt,
)
from serving.hosted.emulator.wire import MessagesRequest
from serving.hosted.emulator.writer import Event
from serving.hosted.models import Catalog, ModelAbility

ANSWER_S = 600.0


class Core:
    """State and rules of one emulated API: models, keys, prompt cache, limits, faults, account."""

    def __init__(
        self,
        answer: Mapping[str, Backend],
        catalog: Catalog,
        *,
        batch_answer: Mapping[str, Backend],
        keys: Collection[str] | None,
        secret: bytes,
        clock: Clock,
        account: Account,
        limits: RateLimits,
        faults: Faults,
        spend_limit: Decimal | None = None,
    ) -> None:
        self._answer, self._batch_answer = answer, batch_answer
        self._catalog, self._keys = catalog, keys
        self._signer, self._cache = Signer(secret), PromptCache(clock)
        self._counts, self._diagnostics = TokenCounts(), Diagnostics()
        self._spend_limit = spend_limit
        self.clock, self.account = clock, account
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
        return workspace_of(key)

    def version(self, headers: Mapping[str, str]) -> str:
        """The API version; 400 where it is missing or unknown."""
        found = headers.get("anthropic-version")
        if found is None:
            raise invalid("anthropic-version: header is required")
        if found not in SHAPES:
            raise invalid(f'anthropic-version: "{found}" is not a valid version')
        return found

    def admit(self, workspace: str) -> None:
        """Counts a request that will be billed; the 429 of a limit that is used up."""
        self.limits.admit(workspace)
        cap = self._spend_limit
        if cap is not None and self.account.total(workspace=workspace).usd >= cap:
            details = {"error_code": "enforced_spend_limit_reached"}
            raise ApiError(429, "Your organization has reached its spend limit.", details=details)

    def job(
        self,
        raw: bytes,
        version: str,
        workspace: str,
        request_id: str,
        *,
        stop: str | None = None,
        place: Place | None = None,
    ) -> Job:
        """A request that may be answered, or the error that the API would give instead. `stop`
        ends its answer early for that reason; `place` is set where it belongs to a batch.
        """
        request = parse_messages(load_json(raw), version)
        ability = self._ability(request.model)
        check_request(request, ability)
        if place is not None:
            check_batched(request)
        dropped = check_replayed(request, ability, self._signer, workspace)
        rows = positions(request, ability, dropped, self._counts)
        total = rows[-1].tokens
        if total > ability.context:
            raise invalid(f"prompt is too long: {total} tokens > {ability.context} maximum")
        cold = place is not None and place.cold
        plan = self._cache.plan(workspace, rows, ability.min_cacheable, cold=cold)
        if place is None:
            self.limits.count(workspace, input_tokens=plan.input_tokens + plan.written)
        message_id = new_id("msg")
        return Job(
            request=request,
            ability=ability,
            backend=(self._answer if place is None else self._batch_answer)[request.model],
            call=Call(request_id, workspace, time.monotonic() + ANSWER_S),
            plan=plan,
            thinking=thinking_of(request, ability),
            signature=self._signature(request, ability, workspace),
            begin=functools.partial(self._cache.commit, plan),
            message_id=message_id,
            diagnostics=self._diagnostics.compare(request, workspace, rows, message_id),
            stop=stop,
            place=place,
        )

    def count_tokens(self, raw: bytes, workspace: str) -> dict[str, int]:
        prompt = parse_prompt(load_json(raw))
        ability = self._ability(prompt.model)
        check_prompt(prompt, ability)
        dropped = check_replayed(prompt, ability, self._signer, workspace)
        rows = positions(prompt, ability, dropped, self._counts)
        return {"input_tokens": rows[-1].tokens}

    async def parts(self, job: Job, *, delivered: bool = True) -> AsyncGenerator[list[Event], None]:
        """The message's events. Once the answer has begun it is billed, as far as it came: as
        completed when its last event is due, unless it will not be `delivered`. Of a batch, only
        what succeeds is billed.
        """
        answer = Answer(job)
        settled = False
        try:
            async with aclosing(answer.parts()) as found:
                async for events in found:
                    if events[-1]["type"] == "message_stop":
                        settled = True
                        self._settle(job, answer, completed=delivered)
                    yield events
        finally:
            if answer.begun and not settled and job.place is None:
                self._settle(job, answer, completed=False)

    def _settle(self, job: Job, answer: Answer, *, completed: bool) -> None:
        plan, output = job.plan, answer.output_tokens
        place = job.place
        if place is None:
            self.limits.count(job.call.tenant, output_tokens=output)
        self.account.add(
            Bill(
                request_id=job.call.request_id,
                message_id=job.message_id,
                workspace=job.call.tenant,
                model=job.request.model,
                at=self.clock.date(plan.started),
                tokens=Tokens(plan.input_tokens, plan.read, plan.write_5m, plan.write_1h, output),
                outcome="completed" if completed else "aborted",
                inference_geo=job.request.inference_geo or "global",
                batch_id=None if place is None else place.batch_id,
                custom_id=None if place is None else place.custom_id,
            )
        )

    def _ability(self, model: str) -> ModelAbility:
        if model not in self._answer:
            raise ApiError(404, f"model: {model}")
        return self._catalog.ability(model)

    def _signature(self, request: MessagesRequest, ability: ModelAbility, workspace: str) -> str:
        thinking = thinking_of(request, ability)
        if thinking is None:
            return ""
        prefix = prefix_digest(request, len(request.messages))
        origin = Origin(request.model, workspace, prefix, thinking.omitted)
        return self._signer.sign(origin, thinking.text)


def workspace_of(key: str) -> str:
    """The id of the workspace that a key belongs to."""
    return f"wrkspc_{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def load_json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON") from None
