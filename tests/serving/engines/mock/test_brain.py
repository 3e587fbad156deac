from statistics import mean

from hypothesis import given
from hypothesis import strategies as st

from serving.engines.mock.brain import ask as question
from serving.engines.mock.brain import is_right, probability, sample_key
from tests.serving.engines.helpers import ask, engine

SYSTEM = {"role": "system", "content": "Answer concisely."}
USER = {"role": "user", "content": "Where  is my\ncard?"}


def test_a_question_is_its_conversation_whatever_a_tier_adds() -> None:
    plain = question(ask("Where is my card?"))
    same = [
        ask(messages=[SYSTEM, USER]),
        ask(messages=[USER], model="other", max_completion_tokens=5, temperature=0.3, seed=4),
        ask(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Where is"},
                        {"type": "text", "text": "my card?"},
                    ],
                }
            ]
        ),
    ]
    assert {question(r).key for r in same} == {plain.key}
    assert {question(r).difficulty for r in same} == {plain.difficulty}
    assert question(ask("Where is my cart?")).key != plain.key


def test_an_able_tier_at_equal_difficulty_is_right_half_the_time() -> None:
    assert probability(engine(ability=0.7), None, 0.7) == 0.5
    assert probability(engine(ability=99), None, -99) == 1.0
    assert probability(engine(ability=-99, discrimination=50), None, 99) == 0.0


def test_ability_per_task() -> None:
    tier = engine(ability=1.0, task_ability={"maths": -1.0})
    assert probability(tier, "maths", 0) < 0.5 < probability(tier, "chat", 0)
    assert probability(tier, None, 0) == probability(tier, "chat", 0)


@given(
    st.text(max_size=40), st.floats(-4, 4), st.floats(0, 4), st.integers(0, 3), st.integers(0, 3)
)
def test_a_more_able_tier_is_right_wherever_a_less_able_one_is(
    text: str, ability: float, more: float, seed: int, choice: int
) -> None:
    asked = question(ask(text))
    sample = sample_key(asked, seed, None, choice)
    weak, strong = engine(ability=ability), engine(ability=ability + more)
    assert is_right(strong, None, asked, sample) or not is_right(weak, None, asked, sample)


def test_right_as_often_as_the_model_says() -> None:
    tier = engine(ability=0.4)
    asked = [question(ask(f"Where is card {i}?")) for i in range(3_000)]
    expected = mean(probability(tier, None, a.difficulty) for a in asked)
    right = mean(is_right(tier, None, a, sample_key(a, 0, None, 0)) for a in asked)
    assert 0.3 < expected < 0.9
    assert abs(right - expected) < 0.03


def test_seeds_and_choices_draw_anew() -> None:
    tier = engine(ability=question(ask()).difficulty)
    asked = question(ask())
    for samples in (
        [sample_key(asked, s, None, 0) for s in range(60)],
        [sample_key(asked, 0, s, 0) for s in range(60)],
        [sample_key(asked, 0, None, c) for c in range(60)],
    ):
        assert {is_right(tier, None, asked, s) for s in samples} == {True, False}
