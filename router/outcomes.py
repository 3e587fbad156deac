"""The outcomes log: what different tiers answered to the same request, and how right they were."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from router.compare import Comparison, answer_text
from router.route import Accepted
from serving.backend import Attempt
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Completion


@dataclass(frozen=True, slots=True)
class Checked:
    """One comparison. `tiers` is in the outcomes format, cheapest first: per tier `correct` in
    [0, 1] and, where known, `confidence`, `answer`, `cost_usd`, `prompt_tokens`,
    `completion_tokens`, `latency_ms`. The reference is correct by definition; both lack `correct`
    where the two could not be compared. `prompt` is None unless the task stores text.
    """

    id: str
    tenant: str
    task: str
    prompt: str | None
    tiers: Mapping[str, Mapping[str, Any]]
    agreed: bool | None
    compared_by: str


class OutcomesLog(Protocol):
    async def add(self, checked: Checked) -> None: ...


def checked(
    accepted: Accepted,
    reference_tier: str,
    completion: Completion,
    attempt: Attempt | None,
    comparison: Comparison,
) -> Checked:
    """The record of an accepted answer and of the reference's `completion`, made in `attempt`."""
    text = accepted.task.spot_check.store_text
    agreed = comparison.agreed
    cheap = _tier(accepted.completion.first, accepted.attempt, text=text)
    reference = _tier(completion.first, attempt, text=text)
    if accepted.confidence is not None:
        cheap["confidence"] = accepted.confidence
    if agreed is not None:
        cheap["correct"], reference["correct"] = float(agreed), 1.0
    return Checked(
        id=accepted.call.request_id,
        tenant=accepted.call.tenant,
        task=accepted.task.name,
        prompt=_prompt(accepted.request) if text else None,
        tiers={accepted.tier: cheap, reference_tier: reference},
        agreed=agreed,
        compared_by=accepted.task.spot_check.compare,
    )


def _tier(choice: Choice, attempt: Attempt | None, *, text: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"answer": answer_text(choice)} if text else {}
    if attempt is None:
        return found
    found["prompt_tokens"] = attempt.usage.prompt_tokens
    found["completion_tokens"] = attempt.usage.completion_tokens
    if attempt.cost_usd is not None:
        found["cost_usd"] = float(attempt.cost_usd)
    if attempt.latency_ms is not None:
        found["latency_ms"] = attempt.latency_ms
    return found


def _prompt(request: ChatRequest) -> str:
    """The one message's text, else all messages, each under its role."""
    if len(request.messages) == 1:
        return request.messages[0].text
    return "\n\n".join(f"{m.role}: {m.text}" for m in request.messages)
