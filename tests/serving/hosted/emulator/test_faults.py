from collections import Counter

import pytest

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.faults import KINDS, STOPS, Faults, before, forced_stop


def test_shares_are_drawn_repeatably() -> None:
    def draws() -> Counter[str | None]:
        faults = Faults({"529": 0.2, "slow": 0.1}, seed=7)
        return Counter(faults.draw(None) for _ in range(2_000))

    found = draws()
    assert found == draws()
    assert found.keys() == {"529", "slow", None}
    assert 330 < found["529"] < 470
    assert 150 < found["slow"] < 250


def test_the_header_comes_first_and_must_be_known() -> None:
    faults = Faults({}, seed=0)
    assert faults.draw(None) is None
    assert faults.draw("429") == "429"
    with pytest.raises(ApiError, match="unknown fault 'earthquake'"):
        faults.draw("earthquake")


@pytest.mark.parametrize(
    "shares",
    [{"earthquake": 0.1}, {"529": 0.6, "429": 0.6}, {"529": -0.5, "429": 0.5}, {"529": 1.5}],
)
def test_shares_that_make_no_sense(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="fault"):
        Faults(shares, seed=0)


@pytest.mark.parametrize(
    ("fault", "status", "waits"),
    [
        ("402", 402, False),
        ("403", 403, False),
        ("404", 404, False),
        ("429", 429, True),
        ("429_bare", 429, False),
        ("spend_limit", 429, False),
        ("500", 500, False),
        ("504", 504, False),
        ("529", 529, False),
        ("529_retry_after", 529, True),
    ],
)
async def test_faults_ahead_of_an_answer(fault: str, status: int, waits: bool) -> None:
    assert fault in KINDS
    with pytest.raises(ApiError) as caught:
        await before(Faults({}, 0).draw(fault))
    assert caught.value.status == status
    assert ("retry-after" in caught.value.headers) == waits


@pytest.mark.parametrize("fault", sorted(STOPS))
async def test_stops_keep_no_answer_from_beginning(fault: str) -> None:
    drawn = Faults({}, 0).draw(fault)
    await before(drawn)
    assert forced_stop(drawn) == fault
    assert forced_stop("529") is forced_stop(None) is None
