"""Decides for each call of one tier where its breakpoints stand, and learns from what came back.

No I/O and no waiting: `planned.py` drives it. One planner belongs to one event loop.
"""

from collections.abc import Callable
from dataclasses import replace

from cache.prompt.blocks import Chainer, PromptChain, marked
from cache.prompt.calls import Decided, Departed, Model, Policy, Read
from cache.prompt.canonical import Canonical, Canonicaliser
from cache.prompt.chain import Plan
from cache.prompt.entries import Entries, reachable
from cache.prompt.hit_rate import HitRates
from cache.prompt.invalidators import Found, Looked, Watch
from cache.prompt.learning import Learner
from cache.prompt.losses import InputPrices, Losses
from cache.prompt.moving import moved
from cache.prompt.pieces import pieces
from cache.prompt.ratio import TokenRatio
from cache.prompt.reports import STAGE, Reports
from cache.prompt.seams import seams, with_seams
from cache.prompt.sent import Sent, SentRequests, divergence
from cache.prompt.verify import Expected, Verdict, places, verdict
from serving.backend import Call
from serving.settings.prompt_cache import PromptCacheSettings
from serving.telemetry.prompt_cache import PromptCacheMetrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage


class PromptCachePlanner:
    """`clock` counts seconds, as lifetimes do. `prices` are None where they are not known. With
    `diagnose` the API is asked for its reason after a miss that nothing here explains.
    """

    def __init__(
        self,
        *,
        tier: str,
        model: Model,
        policy: Policy,
        prices: InputPrices | None,
        settings: PromptCacheSettings,
        metrics: PromptCacheMetrics,
        clock: Callable[[], float],
        diagnose: bool = False,
    ) -> None:
        self._tier, self._model, self._policy = tier, model, policy
        self._settings, self._metrics, self._clock = settings, metrics, clock
        ratio, self._entries = TokenRatio(model.tokenizer), Entries()
        self._learner = Learner(self._entries, ratio, policy, diagnose=diagnose)
        self._canonical, self._chainer = Canonicaliser(), Chainer(model.name, ratio)
        self._sent, self._watch = SentRequests(), Watch()
        self._losses = Losses(prices, clock)
        self._rates = HitRates(window=settings.alert_window, confidence=settings.alert_confidence)
        self.reports = Reports(tier, metrics, clock)

    def read(self, request: ChatRequest, call: Call) -> Read:
        """The request in its canonical form, looked through for what keeps it from being stored."""
        feature = call.feature or call.task or "default"
        canonical = self._canonical(request)
        chain = self._chain(canonical, call)
        earlier = self._sent.earlier(call.tenant, feature, chain)
        self._losses.called(call.tenant, feature)
        if chain.tokens < self._model.minimum:
            return Read(call, feature, canonical.request, chain, earlier)
        looked = Looked(call.tenant, feature, chain, canonical.tools, earlier)
        found = self._watch.look(looked)
        read = Read(call, feature, canonical.request, chain, earlier)
        return self._without_volatile(read, canonical, found) if found else read

    def _without_volatile(self, read: Read, canonical: Canonical, found: list[Found]) -> Read:
        """Reports what was found, and moves it where the settings and the client allow it."""
        call, chain = read.call, read.chain
        change = None
        if self._settings.move_volatile and not chain.own:
            change = moved(read.request, chain, found)
        of = [
            (f, self._losses.of(f, call.tenant, read.feature, chain, read.earlier)) for f in found
        ]
        self.reports.invalidators(of, read.feature, call, set(change.paths if change else ()))
        if change is None:
            return read
        chain = self._chain(Canonical(change.request, canonical.tools), call)
        earlier = self._sent.earlier(call.tenant, read.feature, chain)
        return Read(call, read.feature, change.request, chain, earlier, moved=True)

    def _chain(self, canonical: Canonical, call: Call) -> PromptChain:
        row = pieces(
            canonical.request, mid_system=self._model.mid_system, tool_order=canonical.tool_order
        )
        return self._chainer(call.tenant, canonical.request, row)

    def decide(self, read: Read) -> Decided:
        """What would be marked now. The client's own plan stands."""
        chain, now = read.chain, self._clock()
        plan = self._plan(read, now)
        standing = self._entries.standing(chain.blocks, plan.breakpoints, now)
        if not plan.breakpoints:
            return Decided(plan, standing)
        live = -1 if standing.live is None else standing.live
        warm = chain.ends[live] if live >= 0 else 0
        cold = [
            chain.blocks[p.index].key
            for p in plan.breakpoints
            if p.index > live and chain.ends[p.index] - warm >= self._model.minimum
        ]
        deeper = (i for i in reachable(chain.blocks, plan.breakpoints) if i > live)
        return Decided(plan, standing, tuple(cold), tuple(chain.blocks[i].key for i in deeper))

    def _plan(self, read: Read, now: float) -> Plan:
        chain = read.chain
        if chain.own:
            return Plan(chain.own, "the client's own breakpoints stand")
        minimum = self._model.minimum
        if chain.tokens < minimum:
            name = self._model.name
            reason = f"{chain.tokens:,} tokens are fewer than the {minimum:,} that {name} stores"
            return Plan(reason=reason)
        plan = self._policy.plan(chain.blocks, now, scope=read.scope)
        kept = tuple(p for p in plan.breakpoints if chain.blocks[p.index].may_break)
        plan = replace(plan, breakpoints=kept)
        live = self._entries.standing(chain.blocks, kept, now).live
        places = seams(chain, read.moved)
        return with_seams(plan, chain, places, live=-1 if live is None else live, least=minimum)

    def depart(self, read: Read, decided: Decided, *, behind: bool = False) -> Departed:
        """The call leaves now. `behind`: another call is still writing a prefix of this one."""
        chain, plan, now = read.chain, decided.plan, self._clock()
        request = read.request
        if plan.breakpoints and not chain.own:
            request = marked(request, chain, plan.breakpoints)
        sent = Sent(chain, max((p.index for p in plan.breakpoints), default=-1))
        expected = self._expected(read, decided, behind=behind)
        request = self._learner.asked(request, read, sent)
        if chain.blocks:
            self._policy.observe(chain.blocks, plan, now, scope=read.scope)
        where = f"breakpoints: {places(chain, plan.breakpoints)}"
        read.call.trace.note(STAGE, where if plan.breakpoints else "no breakpoint", plan.reason)
        self._sent.keep(read.call.tenant, read.feature, sent)
        return Departed(read, request, expected, sent, now)

    def _expected(self, read: Read, decided: Decided, *, behind: bool) -> Expected:
        chain, standing, before = read.chain, decided.standing, read.earlier.nearest
        live = standing.live
        stored = None if live is None else self._entries.tokens(chain.blocks[live].key)
        parted = None if before is None else divergence(before.chain, chain)
        return Expected(
            chain=chain,
            points=decided.plan.breakpoints,
            reason=decided.plan.reason,
            minimum=self._model.minimum,
            standing=standing,
            stored_tokens=stored,
            behind=behind,
            divergence=parted,
            conversation=before is not None and before is read.earlier.conversation,
            reached=0 if before is None else before.deepest + 1,
            planned_read=decided.plan.expected_read_tokens,
            planned_write=decided.plan.expected_write_tokens,
        )

    def began(self, departed: Departed) -> None:
        """Its answer has begun: what it marked can be read by others."""
        self._learner.began(departed)

    def failed(self, departed: Departed) -> None:
        """It ended before its answer had begun: nothing that it marked is stored."""
        self._learner.failed(departed)

    def ended(self, departed: Departed, usage: Usage, message_id: str) -> Verdict:
        """Its answer is complete. Says what became of the plan, and remembers it."""
        read, chain = departed.read, departed.read.chain
        departed.sent.message_id = message_id
        found = verdict(departed.expected, usage)
        if found.outcome == "unknown":
            return found
        self._learner.learn(departed, usage, found)
        call, feature = read.call, read.feature
        call.trace.note(STAGE, found.outcome, found.reason)
        self._metrics.called(self._tier, feature, found.outcome)
        self._metrics.used(
            self._tier,
            feature,
            _prefix_name(chain),
            read=usage.cached_tokens,
            written=usage.cache_write_tokens,
            plain=usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        )
        fall = self._rates.add(call.tenant, feature, found.hit_share)
        if fall is not None:
            self.reports.fell(fall, feature, call, found)
        return found


def _prefix_name(chain: PromptChain) -> str:
    """What tools and system prompt make of a prefix, in eight digits."""
    return chain.blocks[chain.shared - 1].key.hex()[:8] if chain.shared else "none"
