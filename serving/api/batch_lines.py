"""Lines of batches, read and answered as the chat endpoint does with requests."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from serving.api.answers import in_time
from serving.api.auth import ALL_SCOPES, Caller
from serving.api.calls import call_for
from serving.api.errors import client_error, error_body
from serving.api.exchange import Exchange
from serving.api.limits import parse_object
from serving.api.line_forms import line_body, line_request
from serving.api.line_journal import LineRun, begin
from serving.api.prompt_log import PromptLog
from serving.backend import Backend, Call
from serving.batch.check import MAX_CUSTOM_ID_CHARS
from serving.batch.values import LineAnswer, Owner, Parked, Resumed
from serving.batches import Parking
from serving.errors import ClientError, Forbidden, InvalidRequest, StepwellError, TierRejected
from serving.settings.keys import Anonymous, KeyLimits
from serving.settings.root import Settings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion, Usage
from serving.wire.render import dumps, total_usage


class ChatLines:
    """A `LineDesk` in front of `backend`: a line is the call that its owner's key would make now,
    with the key's limits; its rate and concurrency are the batch's own.
    """

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings
        self._callers: dict[Owner, Caller] = {
            Owner(k.tenant, k.id): Caller(k.tenant, k.id, frozenset(k.scopes), k.limits)
            for k in settings.keys
            if not k.disabled
        }
        if not settings.keys:
            tenant = Anonymous().tenant
            self._callers[Owner(tenant, None)] = Caller(tenant, None, ALL_SCOPES, KeyLimits())

    def check(self, line: bytes, endpoint: str, owner: Owner) -> str:
        found = self._object(line)
        custom_id = _custom_id(found)
        if found.get("method") != "POST":
            raise _invalid("method", "it must be 'POST'", "invalid_method")
        if found.get("url") != endpoint:
            raise _invalid("url", f"it must be the batch's endpoint, {endpoint}", "invalid_url")
        unknown = sorted(set(found) - {"custom_id", "method", "url", "body"})
        if unknown:
            raise _invalid(unknown[0][:64], "there is no such option", "unknown_parameter")
        exchange = Exchange("", None, "POST", endpoint)
        self._admit(exchange, owner)
        self._call(found, exchange)
        return custom_id

    async def answer(
        self,
        line: bytes,
        endpoint: str,
        owner: Owner,
        *,
        deadline_s: float,
        parks: frozenset[str] = frozenset(),
        resumed: Resumed | None = None,
    ) -> LineAnswer | Parked:
        run = begin(parks, resumed)
        exchange = Exchange(run.request_id, None, "POST", endpoint, traces=(run.trace,))
        try:
            self._admit(exchange, owner)
            found = self._object(line)
            request, call = self._call(found, exchange)
            ends = exchange.started + deadline_s
            if (own := request.options.deadline_ms) is not None:
                ends = min(ends, exchange.started + own / 1_000)
            # What is paid for is judged even where there is no time to ask anyone.
            ends = max(ends, exchange.started)
            call = replace(call, deadline=ends, trace=run.trace, journal=run.journal)
            completion = await self._completion(request, call, again=run.resumes)
            limits = self._settings.limits
            body = line_body(found["body"], completion, request, exchange, limits)
            return _answered(body, completion, exchange, run)
        except Parking as parking:
            return run.parked(parking, owner.tenant)
        except Exception as error:
            return _refused(error, exchange, run)

    async def _completion(self, request: ChatRequest, call: Call, *, again: bool) -> Completion:
        log = PromptLog(self._settings.log, call.request_id)
        if not again:
            log.asked([request])
        completion = await in_time(self._backend.complete(request, call), call)
        log.answered([completion])
        return completion

    def _admit(self, exchange: Exchange, owner: Owner) -> None:
        """`Forbidden` where the key that made the batch may not chat any more."""
        caller = self._callers.get(owner)
        if caller is None:
            raise Forbidden("The API key of this batch is not valid any more.", code="key_revoked")
        caller.require("chat")
        exchange.caller = caller

    def _object(self, line: bytes) -> dict[str, Any]:
        try:
            return parse_object(line, self._settings.limits)
        except InvalidRequest as error:
            message = error.message.replace("The body", "The line")
            raise InvalidRequest(message, code=f"{error.code}_line") from None

    def _call(self, found: Mapping[str, Any], exchange: Exchange) -> tuple[ChatRequest, Call]:
        body = found.get("body")
        if not isinstance(body, dict):
            raise _invalid("body", "it must be an object", "invalid_type")
        asked = line_request(body, exchange.endpoint, self._settings.limits)
        if asked.stream:
            raise _invalid("body.stream", "a batch does not stream", "invalid_value")
        exchange.explain = asked.options.explain
        request, call = call_for(asked, exchange, self._settings)
        return request, replace(call, urgency="offline", service="live")


def _answered(
    body: Mapping[str, Any], completion: Completion, exchange: Exchange, run: LineRun
) -> LineAnswer:
    figures = exchange.figures
    return LineAnswer(
        200,
        exchange.request_id,
        dumps(body),
        usage=completion.usage,
        tier=figures.tier,
        cost_usd=figures.cost_usd,
        baseline_cost_usd=figures.baseline_cost_usd,
        unused=run.unused,
    )


def _custom_id(found: Mapping[str, Any]) -> str:
    if "custom_id" not in found:
        message = "Missing required parameter: 'custom_id'."
        raise InvalidRequest(message, param="custom_id", code="missing_required_parameter")
    custom_id = found["custom_id"]
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID_CHARS:
        allowed = f"it must be a text of 1 to {MAX_CUSTOM_ID_CHARS} characters"
        raise _invalid("custom_id", allowed, "invalid_value")
    if "\x00" in custom_id or not custom_id.isprintable():
        raise _invalid("custom_id", "its characters must be printable", "invalid_value")
    return custom_id


def _invalid(param: str, why: str, code: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{param}': {why}.", param=param, code=code)


def _refused(error: Exception, exchange: Exchange, run: LineRun) -> LineAnswer:
    """Where the request is at fault, or its key is gone, trying again cannot help."""
    told: StepwellError = client_error(error, exchange)
    retry = not isinstance(told, ClientError | TierRejected)
    return LineAnswer(
        told.status,
        exchange.request_id,
        dumps(error_body(told, exchange)),
        usage=_used(exchange),
        tier=None,
        cost_usd=exchange.figures.cost_usd,
        retry=retry,
        retry_after=told.retry_after,
        unused=run.unused,
    )


def _used(exchange: Exchange) -> Usage:
    return total_usage(a.usage for trace in exchange.traces for a in trace.attempts)
