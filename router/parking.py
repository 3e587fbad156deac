"""The durable side of the live driver: what it does besides for a request that may be parked."""

from router.asking import without_logprobs
from router.journal import Kept, KeptAnswer, dump, load
from router.route import Answer, Route
from router.steps import Answered, CallTier
from serving.batches import Journal, Parking


def keep(route: Route, parking: Parking) -> None:
    """Writes into the call's journal what has happened so far."""
    assert route.call.journal is not None, "only a call with a journal is parked"
    route.call.trace.note("park", parking.tier, "for a batch of its provider")
    answers = {
        tier: KeptAnswer(
            # Logprobs have served their purpose, unless the client wants them.
            without_logprobs(answer.completion, route.request),
            None if answer.attempt is None else answer.attempt.id,
            answer.confidence,
        )
        for tier, answer in route.answers.items()
    }
    route.call.journal.past = dump(Kept(route.outcomes, answers))


def take_up(route: Route, journal: Journal) -> None:
    """Goes on after what was kept, as far as it is of tiers that the plan has now. Attempts are
    those of the call's trace.
    """
    attempts = {a.id: a for a in route.call.trace.attempts}
    kept = load(journal.past)
    for outcome in kept.outcomes:
        if not route.plan.has(outcome.tier):
            continue
        answer = None
        if isinstance(outcome, Answered):
            found = kept.answers[outcome.tier]
            attempt = attempts.get(found.attempt or "")
            answer = Answer(found.completion, outcome, attempt, found.confidence, (), kept=True)
        route.take_up(outcome, answer)


def returned(route: Route, tier: str) -> CallTier:
    """The step that was taken when the request was parked: its answer is here."""
    timeout_s = route.plan.planned(tier).deadline_s
    step = CallTier(tier, "returned", "from a batch of its provider", timeout_s)
    route.call.trace.note("resume", tier, step.detail)
    return step
