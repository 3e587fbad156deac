"""From a line of a log to a past answer: the request as the server would see it, and what was said.

A request is read, classified and scoped by the code that serves it, so that what is kept here is
found there.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.keep import WHOLE, without_logprobs
from cache.semantic.answer import Answer, dump
from cache.semantic.question import asked_by, ttl_s
from cache.semantic.warm import Past
from router.task import TaskClassifier
from router.validators.implied import for_request
from serving.api.auth import ALL_SCOPES, Caller
from serving.api.calls import call_for
from serving.api.exchange import Exchange
from serving.api.validation import parse_as
from serving.backend import new_id
from serving.costs.rate_card import RateCard, tier_price
from serving.engines.openai_compatible.convert import completion
from serving.errors import ConfigError, StepwellError
from serving.settings.keys import Anonymous, KeyLimits
from serving.settings.root import Settings
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from serving.wire.jsonl_file import NotAnObject, parse_object


class BadLine(Exception):
    """What is wrong with the line; quotes nothing of its texts."""


class Skipped(Exception):
    """Why a line that is well-formed is not kept."""


def caller(settings: Settings, tenant: str | None, key_id: str | None) -> Caller:
    """Who would ask: `ConfigError` where there is no such key."""
    if key_id is None:
        return Caller(tenant or Anonymous().tenant, None, ALL_SCOPES, KeyLimits())
    found = next((key for key in settings.keys if key.id == key_id), None)
    if found is None:
        known = ", ".join(key.id for key in settings.keys) or "none"
        raise ConfigError(f"--key: no key {key_id!r}; known: {known}")
    return Caller(found.tenant, found.id, ALL_SCOPES, found.limits)


class Reader:
    """`tier` names whose answers they are where a line names no known model; by default the
    baseline's.
    """

    def __init__(self, settings: Settings, who: Caller, tier: str | None) -> None:
        self._settings = settings
        self._who = who
        self._tier = settings.baseline_tier if tier is None else settings.tier(tier)
        self._classifier = TaskClassifier(settings)
        self._card = RateCard.load(Path(settings.rates) if settings.rates else None)

    def past(self, number: int, raw: bytes) -> Past:
        """Raises `BadLine` or `Skipped`."""
        body, reply = _parts(_json(raw))
        try:
            request = parse_as(ChatRequest, self._with_model(body))
            request, call = call_for(request, self._exchange(), self._settings)
            decided = self._classifier.classify(request, call)
            made = completion("answer", "unknown", reply, request)
        except StepwellError as error:
            raise BadLine(error.message) from None
        task, semantic = decided.task, self._settings.cache.semantic
        asked = asked_by(request, replace(call, task=task.name), task, semantic)
        if isinstance(asked, str):
            raise Skipped(asked)
        if asked.question is None:
            raise Skipped(asked.off or "no question")
        tier = self._tier_of(reply)
        answer = _answer(made, tier, request, task)
        if len(dump(answer)) > semantic.max_entry_bytes:
            raise Skipped(f"the answer is larger than {semantic.max_entry_bytes} bytes")
        price = tier_price(tier, self._card)
        return Past(
            line=number,
            question=asked.question,
            answer=answer,
            cost_usd=None if price is None else price.cost(made.usage),
            ttl_s=ttl_s(task, asked.question.tags, semantic),
        )

    def _with_model(self, body: dict[str, Any]) -> dict[str, Any]:
        """Of models that are not known here `auto` answers."""
        asked = body.get("model")
        known = {"auto", *self._settings.aliases, *(t.name for t in self._settings.tiers)}
        return body if asked in known else {**body, "model": "auto"}

    def _exchange(self) -> Exchange:
        request_id = f"req_{new_id()}"
        exchange = Exchange(request_id, None, "POST", "/v1/chat/completions")
        exchange.caller = self._who
        return exchange

    def _tier_of(self, reply: dict[str, Any]) -> TierSettings:
        named = (t for t in self._settings.tiers if reply.get("model") in (t.name, t.model))
        return next(named, self._tier)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        return parse_object(raw)
    except NotAnObject as reason:
        raise BadLine(str(reason)) from None


def _parts(line: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The chat body, and the answer in the form of OpenAI's object."""
    body = line.get("request", line.get("body"))
    if body is None:
        body = {k: v for k, v in line.items() if k not in {"answer", "response"}}
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(messages, list) or not messages:
        raise BadLine("`messages` is not a list with content")
    reply = line.get("response")
    if isinstance(reply, dict) and isinstance(reply.get("body"), dict):
        reply = reply["body"]
    if isinstance(reply, dict):
        return body, reply
    answer = line.get("answer", reply)
    if answer is None and len(messages) > 1 and _is_answer(messages[-1]):
        answer, body = messages[-1].get("content"), {**body, "messages": messages[:-1]}
    if not isinstance(answer, str):
        raise BadLine("no answer: neither `answer`, nor `response`, nor a last message with text")
    message = {"role": "assistant", "content": answer}
    return body, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def _is_answer(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "assistant"


def _answer(
    made: Completion, tier: TierSettings, request: ChatRequest, task: TaskSettings
) -> Answer:
    """`Skipped` where the server would not have kept it."""
    if len(made.choices) != 1 or made.first.finish_reason not in WHOLE or made.first.refusal:
        raise Skipped("the answer is refused, cut short, or not one answer")
    if made.first.tool_calls and not task.cache.semantic.tool_calls:
        raise Skipped("the answer calls tools")
    verdict = for_request(request, task).check(request, made.first)
    if not verdict.passed:
        raise Skipped(f"the answer fails {verdict.failures[0].kind}")
    whole = without_logprobs(made)
    return Answer(whole, tier.name, tier.model, tier.simulated, (), "a log")
