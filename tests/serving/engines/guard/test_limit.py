"""The limit grows slowly with what the tier takes, and halves once per overload."""

from hypothesis import given
from hypothesis import strategies as st

from serving.engines.guard.limit import Limit
from serving.settings.tiers import AnthropicEngine, TierLimits, TierSettings
from tests.serving.engines.helpers import engine, tier


def hosted(**limits: object) -> TierSettings:
    claude = AnthropicEngine(engine="anthropic")
    return tier(claude, limits=TierLimits.model_validate(limits))


def test_a_hosted_tier_adapts_and_a_local_one_does_not() -> None:
    assert Limit.of(hosted()) == Limit(16, 4, 64)
    assert Limit.of(tier(engine())) == Limit(256, 256, 256)
    adaptive = tier(engine(), limits=TierLimits(adaptive=True, max_concurrent=32))
    assert Limit.of(adaptive) == Limit(16, 4, 32)


def test_where_settings_contradict_each_other_the_maximum_wins() -> None:
    assert Limit.of(hosted(max_concurrent=2)) == Limit(2, 2, 2)
    assert Limit.of(hosted(min_concurrent=30, start_concurrent=8)) == Limit(30, 30, 64)


def test_one_more_call_for_every_window_of_successes() -> None:
    limit = Limit(16, 4, 64)
    for _ in range(17):
        limit = limit.on_success(running=16)
    assert limit.calls == 17
    for _ in range(10_000):
        limit = limit.on_success(running=64)
    assert limit.calls == 64


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    limit = Limit(16, 4, 64)
    assert limit.on_success(running=7) == limit
    assert limit.on_success(running=8) != limit


def test_what_fails_together_is_one_overload() -> None:
    left_with = Limit(16, 4, 64)
    limit = left_with
    for _ in range(16):
        limit = limit.on_overload(left_with.cuts)
    assert limit.calls == 8
    assert limit.on_overload(limit.cuts).calls == 4
    assert limit.on_overload(limit.cuts).on_overload(2).calls == 4


def test_a_fixed_limit_stays() -> None:
    fixed = Limit(256, 256, 256)
    assert fixed.on_overload(0) == fixed
    assert fixed.on_success(256) == fixed


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100), st.integers(0, 3))))
def test_the_limit_keeps_its_bounds(events: list[tuple[bool, int, int]]) -> None:
    limit = Limit(16, 4, 64)
    for good, running, behind in events:
        before = limit
        limit = limit.on_success(running) if good else limit.on_overload(limit.cuts - behind)
        assert 4 <= limit.calls <= 64
        assert limit.exact >= before.exact if good else limit.exact <= before.exact
