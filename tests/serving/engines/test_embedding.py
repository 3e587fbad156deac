"""Around every embedder: what it can honour, what is too large, a second try."""

from typing import Any

import pytest

from serving.engines import embedding
from serving.engines.embedding import EmbedderAbility, FittedEmbedder, check_length, checked
from serving.errors import InvalidRequest, TierProtocolError, TierRejected, TierUnavailable
from serving.settings.tiers import MockEngine, TierSettings
from serving.wire.embeddings import vector
from tests.serving.engines.embedders import Embeds, asking, wanted
from tests.serving.engines.helpers import tier

MOCK = MockEngine(engine="mock")
ABLE = EmbedderAbility()


def settings(**fields: Any) -> TierSettings:
    return tier(MOCK, "mini", **fields)


def fitted(inner: Embeds, ability: EmbedderAbility = ABLE, **fields: Any) -> FittedEmbedder:
    return FittedEmbedder(inner, tier=settings(**fields), ability=ability)


async def test_a_request_passes_as_it_is_where_everything_can_be_honoured() -> None:
    inner, call = Embeds(), asking()
    asked = wanted([1, 2], dimensions=8, params={"odd": 1})
    made = await fitted(inner).embed(asked, call)
    assert inner.asked == [asked]
    assert len(made.vectors) == 1
    assert (call.trace.tier, call.trace.dropped) == (None, []), "it may help to answer a chat"
    assert [d.stage for d in call.trace.decisions] == ["embed"]


async def test_what_it_does_not_know_is_dropped_and_said() -> None:
    inner, call = Embeds(), asking()
    able = EmbedderAbility(frozenset({"truncate"}))
    await fitted(inner, able).embed(wanted(params={"truncate": 8, "odd": 1, "user": "u"}), call)
    assert inner.asked[0].params == {"truncate": 8}
    assert call.trace.dropped == ["odd"], "the user is Stepwell's own business"


async def test_or_refused() -> None:
    inner = Embeds()
    able = EmbedderAbility(frozenset())
    with pytest.raises(InvalidRequest, match="does not support odd"):
        await fitted(inner, able, on_unsupported="refuse").embed(
            wanted(params={"odd": 1}), asking()
        )
    assert inner.asked == []


@pytest.mark.parametrize(
    ("ability", "asked", "param"),
    [
        (EmbedderAbility(dimensions=False), wanted(dimensions=8), "dimensions"),
        (EmbedderAbility(tokens=False), wanted([1, 2]), "input"),
    ],
)
async def test_what_would_change_the_vectors_is_never_dropped(
    ability: EmbedderAbility, asked: Any, param: str
) -> None:
    inner = Embeds()
    with pytest.raises(InvalidRequest) as caught:
        await fitted(inner, ability).embed(asked, asking())
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")
    assert inner.asked == []


async def test_what_is_certainly_too_long_reaches_nobody() -> None:
    inner = Embeds()
    mini = fitted(inner, context_tokens=256)
    fits = [wanted("x" * 256 * 32), wanted([1] * 256)]
    for request in fits:
        await mini.embed(request, asking())
    longer = [wanted("ok", "x" * (256 * 32 + 1)), wanted("é" * (256 * 16 + 1)), wanted([1] * 257)]
    for request in longer:
        with pytest.raises(InvalidRequest) as caught:
            await mini.embed(request, asking())
        assert (caught.value.param, caught.value.code) == ("input", "context_length_exceeded")
    assert inner.asked == fits
    with pytest.raises(InvalidRequest, match="the text is larger"):
        check_length("x" * 10_000, "the text", "prompt", settings(context_tokens=256))


async def test_a_transport_fault_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "BACKOFF_S", 0.0)
    inner, call = Embeds(TierUnavailable("down"), TierProtocolError("odd")), asking()
    await fitted(inner, retries=2).embed(wanted(), call)
    assert len(inner.asked) == 3
    assert [d.stage for d in call.trace.decisions] == ["embed", "retry", "retry"]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (TierRejected("no"), 30.0),
        (TierUnavailable("down", retry_after=60), 30.0),
        (TierUnavailable("down", retry_after=1), 0.5),
    ],
)
async def test_what_a_second_try_cannot_help_is_raised(error: Exception, seconds: float) -> None:
    inner = Embeds(error)
    with pytest.raises(type(error)):
        await fitted(inner, retries=5).embed(wanted(), asking(seconds))
    assert len(inner.asked) == 1


async def test_tries_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "BACKOFF_S", 0.0)
    inner = Embeds(*(TierUnavailable(str(i)) for i in range(5)))
    with pytest.raises(TierUnavailable, match="1"):
        await fitted(inner, retries=1).embed(wanted(), asking())
    assert len(inner.asked) == 2


@pytest.mark.parametrize(
    ("vectors", "fault"),
    [
        ([vector([1.0])], "1 vectors for 2 inputs"),
        ([vector([1.0]), vector([1.0, 2.0])], "differ in length"),
        ([b"", b""], "differ in length"),
        ([b"abc", b"abc"], "differ in length"),
        ([vector([1.0]), vector([float("nan")])], "not finite"),
        ([vector([1.0]), vector([float("-inf")])], "not finite"),
    ],
)
def test_vectors_that_are_none(vectors: list[bytes], fault: str) -> None:
    with pytest.raises(TierProtocolError, match=fault):
        checked("mini", vectors, 2)


def test_vectors_that_are() -> None:
    vectors = [vector([1.0, 3e38]), vector([3e38, 3e38])]
    assert checked("mini", vectors, 2) == tuple(vectors)
