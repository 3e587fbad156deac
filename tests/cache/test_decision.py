"""Whether a stored answer serves: what the shipped decision says."""

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.decision import MAX_LOGIT, WEIGHTS, Decision, gate, shipped
from cache.features import DIFFERENCES, FEATURES, SIGNS, SUMS, features
from cache.guards.reading import MAX_CHARACTERS, read
from cache.trees import add_effects, tree

BUDGET_S = 1e-3
texts = st.text(max_size=120)
cosines = st.floats(-1, 1)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I enable 2FA?", "how do i enable 2fa"),
        ("  refund   order 12 ", "Refund order 12."),
    ],
)
def test_the_same_text_is_served_for_certain(a: str, b: str) -> None:
    found = shipped().judge_texts(0.99, a, b)
    assert (found.probability, found.score, found.explain()) == (1.0, MAX_LOGIT, "the same text")


@pytest.mark.parametrize(
    ("a", "different"),
    [
        ("refund order 1234", "refund order 1235"),
        ("How do I enable 2FA?", "How do I disable 2FA?"),
        ("Is aspirin safe for children?", "Is aspirin unsafe for children?"),
        ("flights from Oslo to Rome", "flights from Rome to Oslo"),
        ("set a timer for 5 minutes", "set a timer for 5 seconds"),
        ("what is the capital of France", "what is the capital of Spain"),
        ("call `get_user` twice", "call `get_users` twice"),
    ],
)
def test_a_difference_that_counts_outweighs_the_cosine(a: str, different: str) -> None:
    """At a cosine at which a text without a difference would be served."""
    other = shipped().judge_texts(0.97, a, different)
    like = shipped().judge_texts(0.97, "please " + a, a + " thanks")
    assert other.probability < 0.9 < like.probability
    assert "nothing against it" not in other.explain()


def test_what_differs_is_named_without_a_word_of_the_texts() -> None:
    said = shipped().judge_texts(0.97, "refund order 1234", "refund order 1235").explain()
    assert "1234" not in said
    assert "refund" not in said
    assert any(name in said for name in (*DIFFERENCES, *SUMS))


@given(texts, texts, cosines)
def test_it_is_symmetric_and_a_probability(a: str, b: str, cosine: float) -> None:
    found = shipped().judge_texts(cosine, a, b)
    assert found == shipped().judge_texts(cosine, b, a)
    assert 0 <= found.probability <= 1
    assert abs(found.score) <= MAX_LOGIT


@given(texts, texts, st.tuples(cosines, cosines))
def test_reasons_and_score_agree(a: str, b: str, two: tuple[float, float]) -> None:
    """Two judgements differ by what their reasons differ in, where the gate is the same."""
    decide = shipped()
    scores = [decide.judge_texts(cosine * 0.5, a, b) for cosine in two]
    if not scores[0].reasons:
        return
    sums = [sum(reason.effect for reason in each.reasons) for each in scores]
    assert scores[0].score - scores[1].score == pytest.approx(sums[0] - sums[1], abs=1e-9)


@given(
    st.lists(st.floats(0, 3), min_size=len(FEATURES), max_size=len(FEATURES)),
    st.sampled_from(sorted(SIGNS)),
    st.floats(0.01, 3),
)
def test_no_difference_raises_and_the_cosine_never_lowers(
    row: list[float], name: str, more: float
) -> None:
    """Of the shipped weights, whatever the other features are."""
    trees = [tree(each) for each in orjson.loads(WEIGHTS.read_bytes())["trees"]]
    changed = list(row)
    changed[FEATURES.index(name)] += more
    totals = []
    for each in (row, changed):
        effects = [0.0] * len(FEATURES)
        totals.append(add_effects(trees, each, effects) + sum(effects))
    assert SIGNS[name] * (totals[1] - totals[0]) >= -1e-6


def test_below_the_gate_the_cosine_decides_alone() -> None:
    first, second = (
        shipped().judge_texts(0.5, "refund order 1234", b) for b in ("refund order 9", "a song")
    )
    assert first.score == second.score
    assert [reason.feature for reason in first.reasons] == ["cosine"]
    assert (gate(0.4, 0.5, 0.7), gate(0.6, 0.5, 0.7), gate(0.8, 0.5, 0.7)) == (0, 0.5, 1)


def test_what_is_too_long_to_compare_is_never_served() -> None:
    text = "word " * MAX_CHARACTERS
    found = shipped().judge_texts(0.999, text + "one", text + "two")
    assert (found.probability, found.score) == (0.0, -MAX_LOGIT)
    assert shipped().judge_texts(1.0, text, text).probability == 1.0


def test_weights_for_other_features_are_refused() -> None:
    weights = orjson.loads(WEIGHTS.read_bytes())
    weights["features"] = weights["features"][1:]
    with pytest.raises(ValueError, match="other features"):
        Decision(weights)


def test_every_feature_is_filled_in_its_place() -> None:
    row = features(0.9, read("refund order 1234"), read("refund order 1235"))
    assert len(row) == len(FEATURES)
    found = dict(zip(FEATURES, row, strict=True))
    assert (found["cosine"], found["numbers"], found["certain"]) == (0.9, 1.0, 1.0)
    assert found["mould"] == 1.0
    same = dict(zip(FEATURES, features(1.0, read("a lamp"), read("a lamp")), strict=True))
    assert all(same[name] == 0 for name in (*DIFFERENCES, *SUMS))


def test_it_takes_less_than_its_budget() -> None:
    a, b = read("How do I move 200 euros to savings?"), read("send $200 from savings to Anna now")
    best = min(_timed(a, b) for _ in range(50))
    assert best < BUDGET_S


def _timed(a: object, b: object) -> float:
    began = time.perf_counter()
    shipped().judge(0.95, a, b)  # type: ignore[arg-type]  # readings, made by the caller
    return time.perf_counter() - began
