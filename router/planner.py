"""Makes the plan of a request.

Pure: a plan follows from the request, the call, the task and the rungs alone. The cascade walks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.gate import GATE_OFF, NO_GATE, NO_LOGPROBS, gate_for
from router.known import Past
from router.needs import Needs, lack, needs_of
from router.plan import ConversationNote, Patience, Plan, PlannedTier, Skipped
from router.rung import Rung
from router.start import Continuing, Option
from router.warmth import TierRates, warm_cost
from serving.backend import Call
from serving.errors import Forbidden, InvalidRequest, NotFound
from serving.settings.conversations import MARGIN
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest

AUTO = "auto"
LAST_TIER = "the last allowed tier: nothing to escalate to"
ASKED_BY_NAME = "the tier was asked for by name"
BELOW_START = "only asked when every tier from the start tier up is down"
PINNED = "critical: pinned to the most expensive allowed tier"


@dataclass(frozen=True, slots=True)
class _Ceiling:
    rank: int
    reason: str


class Planner:
    """`rungs` are cheapest first. Aliases are resolved before a request comes here. `margin`: the
    share by which a tier must be expected to cost less for a conversation to move there.
    """

    def __init__(self, rungs: Sequence[Rung], *, margin: float = MARGIN) -> None:
        self._rungs = tuple(rungs)
        self._margin = margin
        self._max_tokens = tuple(rung.settings.output.max_tokens for rung in self._rungs)
        self._ranks = {rung.name: rank for rank, rung in enumerate(self._rungs)}
        prices = (rung.price for rung in self._rungs)
        self._rates = tuple(None if price is None else TierRates.of(price) for price in prices)
        reasons = (LAST_TIER, GATE_OFF, NO_GATE, NO_LOGPROBS, ASKED_BY_NAME)
        self._ungated = {reason: self._without_gate(reason) for reason in reasons}
        self._gated = tuple(
            replace(plain, gate=rung.settings.gate, gate_reason="gated")
            for plain, rung in zip(self._ungated[NO_GATE], self._rungs, strict=True)
        )

    def plan(
        self, request: ChatRequest, call: Call, task: TaskSettings, past: Past | None = None
    ) -> Plan:
        """`NotFound` for an unknown model; `Forbidden` for a tier by name above what is allowed;
        `InvalidRequest` where no allowed tier can answer.
        """
        model = request.model
        if model == AUTO:
            return self._automatic(request, call, task, past)
        if model not in self._ranks:
            known = ", ".join((AUTO, *self._ranks))
            message = f"The model {model[:100]!r} does not exist; known: {known}"
            raise NotFound(message, param="model", code="model_not_found")
        return self._by_name(self._ranks[model], request, call, task)

    def reference(self, request: ChatRequest, call: Call, task: TaskSettings) -> str | None:
        """The tier that may check answers to this request: the task's reference, else the most
        expensive one allowed. Caps of the key and the request hold for checks too, since they may
        stand for where a prompt may go. None where no tier qualifies.
        """
        needs = needs_of(request, task.max_tokens)
        named = task.spot_check.reference
        cap = self._ceiling(request, call, None if named else task.max).rank
        ranks = [self._ranks[named]] if named else range(cap, -1, -1)
        found = (r for r in ranks if r <= cap and lack(needs, self._rungs[r]) is None)
        return next((self._rungs[r].name for r in found), None)

    def _automatic(
        self, request: ChatRequest, call: Call, task: TaskSettings, past: Past | None
    ) -> Plan:
        needs = needs_of(request, task.max_tokens)
        ceiling = self._ceiling(request, call, task.max)
        eligible, skipped = self._eligible(needs, ceiling)
        note: ConversationNote | None = None
        if task.critical:
            start, reason = len(eligible) - 1, PINNED
        else:
            start, reason = self._start(eligible, needs, task)
            if past is not None:
                lowest = 0 if task.start is None else start
                start, reason, note = self._continue(eligible, skipped, needs, past, lowest)
        below, climb = eligible[:start][::-1], eligible[start:]
        why = PINNED if task.critical else BELOW_START
        skipped += [Skipped(self._rungs[rank].name, why) for rank in below]
        return Plan(
            climb=tuple([self._planned(rank, task, last=rank == climb[-1]) for rank in climb]),
            fallbacks=()
            if task.critical
            else tuple([self._planned(rank, task, last=True) for rank in below]),
            skipped=tuple(skipped),
            reason=reason,
            deadline=call.deadline,
            gated=task.gate == "on",
            conversation=note,
            patience=patience_of(call, task),
        )

    def _by_name(self, rank: int, request: ChatRequest, call: Call, task: TaskSettings) -> Plan:
        """A name is a wish for that tier: the task's own cap does not hold against it, those of the
        key and the request do.
        """
        rung = self._rungs[rank]
        ceiling = self._ceiling(request, call, None)
        if rank > ceiling.rank:
            raise Forbidden(
                f"The model {rung.name!r} is not allowed: {ceiling.reason}", param="model"
            )
        if (missing := lack(needs_of(request, task.max_tokens), rung)) is not None:
            message = f"The model {rung.name!r} lacks {missing.what}"
            raise InvalidRequest(message, param=missing.param)
        only = self._ungated[ASKED_BY_NAME][rank]
        patience = patience_of(call, task)
        return Plan((only,), ASKED_BY_NAME, call.deadline, gated=False, patience=patience)

    def _ceiling(self, request: ChatRequest, call: Call, task_max: str | None) -> _Ceiling:
        """The lowest of all caps."""
        found = _Ceiling(len(self._rungs) - 1, "")
        asked = request.stepwell.max_tier if request.stepwell is not None else None
        for name, whose in (
            (call.max_tier, "the key or the request"),
            (asked, "the request"),
            (task_max, "the task"),
        ):
            if name is None:
                continue
            rank = self._ranks.get(name)
            if rank is None:
                message = f"max_tier: no tier {name!r}; known: {', '.join(self._ranks)}"
                raise InvalidRequest(message, param="stepwell.max_tier")
            if rank < found.rank:
                found = _Ceiling(rank, f"{whose} allows no tier above {name!r}")
        return found

    def _eligible(self, needs: Needs, ceiling: _Ceiling) -> tuple[list[int], list[Skipped]]:
        ranks, skipped = [], []
        param = "messages"
        for rank, rung in enumerate(self._rungs):
            if rank > ceiling.rank:
                skipped.append(Skipped(rung.name, ceiling.reason))
            elif (missing := lack(needs, rung)) is not None:
                skipped.append(Skipped(rung.name, f"lacks {missing.what}"))
                param = missing.param
            else:
                ranks.append(rank)
        if not ranks:
            why = "; ".join(f"{s.tier}: {s.reason}" for s in skipped)
            raise InvalidRequest(f"No allowed tier can answer this request: {why}", param=param)
        return ranks, skipped

    def _start(self, eligible: list[int], needs: Needs, task: TaskSettings) -> tuple[int, str]:
        """The index in `eligible` to start at, and why."""
        if task.start is not None:
            wanted = self._ranks[task.start]
            for index, rank in enumerate(eligible):
                if rank == wanted:
                    return index, f"start tier of task {task.name!r}"
                if rank > wanted:
                    return index, f"task {task.name!r} starts at {task.start!r}, not eligible here"
            return len(eligible) - 1, f"highest allowed below start tier {task.start!r}"
        best, cost = 0, self._cost(eligible[0], needs)
        for index, rank in enumerate(eligible[1:], start=1):
            other = self._cost(rank, needs)
            if cost is not None and other is not None and other < cost:
                best, cost = index, other
        if cost is None:
            return best, "first eligible tier: its price is unknown"
        return best, f"cheapest by expected cost: ${cost:.2g}"

    def _continue(
        self,
        eligible: list[int],
        skipped: list[Skipped],
        needs: Needs,
        past: Past,
        lowest: int,
    ) -> tuple[int, str, ConversationNote]:
        """As `_start`, for a conversation of which something is known."""
        why = {s.tier: s.reason for s in skipped}
        chosen = Continuing(
            [self._option(rank, needs, past) for rank in eligible],
            past.known,
            lowest=lowest,
            margin=self._margin,
            missing=lambda tier: why.get(tier, "there is no such tier any more"),
        ).start()
        return chosen.index, chosen.reason, chosen.note

    def _option(self, rank: int, needs: Needs, past: Past) -> Option:
        name, rates = self._rungs[rank].name, self._rates[rank]
        record = past.known.record(name)
        # What the last answer was made from is the most that can be warm.
        read_before = max(0, needs.prompt_tokens - past.new_tokens)
        warm = min(record.warmth.left(past.now), read_before)
        if rates is None:
            return Option(name, None, warm, record)
        cost = warm_cost(
            rates.at(needs.prompt_tokens),
            record.warmth,
            warm_tokens=warm,
            prompt_tokens=needs.prompt_tokens,
            completion_tokens=self._output(rank, needs),
            caches=past.known.cached,
        )
        return Option(name, cost, warm, record)

    def _cost(self, rank: int, needs: Needs) -> float | None:
        rates = self._rates[rank]
        if rates is None:
            return None
        prompt = needs.prompt_tokens
        return rates.at(prompt).cost(prompt, self._output(rank, needs))

    def _output(self, rank: int, needs: Needs) -> int:
        """Expected tokens of all choices."""
        return min(needs.output_tokens, self._max_tokens[rank]) * needs.choices

    def _planned(self, rank: int, task: TaskSettings, *, last: bool) -> PlannedTier:
        if last:
            return self._ungated[LAST_TIER][rank]
        if task.gate == "off":
            return self._ungated[GATE_OFF][rank]
        rung = self._rungs[rank]
        gate = gate_for(rung.settings, task)
        if gate is None:
            return self._ungated[NO_GATE][rank]
        if not rung.ability.logprobs:
            return self._ungated[NO_LOGPROBS][rank]
        if gate is rung.settings.gate:
            return self._gated[rank]
        return replace(self._gated[rank], gate=gate)

    def _without_gate(self, reason: str) -> tuple[PlannedTier, ...]:
        """Every tier by rank, judged by validators only for this reason."""
        return tuple(
            PlannedTier(s.name, rank, s.deadline_s, s.retries, None, reason)
            for rank, s in enumerate(rung.settings for rung in self._rungs)
        )


def patience_of(call: Call, task: TaskSettings) -> Patience:
    """A client that takes the flexible service would rather wait than pay, unless its task says
    otherwise. Other work that can wait has a time to be done by.
    """
    if call.urgency == "interactive":
        return "none"
    return "stay" if call.service == "flex" and task.flex == "wait" else "climb"
