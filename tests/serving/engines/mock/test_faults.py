from collections import Counter

import pytest

from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.faults import Fault, asked, drawn, gibberish, repeated
from serving.errors import InvalidRequest
from serving.settings.tiers import MockFaults
from tests.serving.engines.helpers import ask


def test_a_request_may_demand_a_fault_of_all_tiers_or_of_one() -> None:
    assert asked(ask(), "small") is None
    assert asked(ask(metadata={"mock_fault": "hang"}), "small") == "hang"
    one = ask(metadata={"mock_fault": "error_midstream", "mock_fault_tier": "small"})
    assert asked(one, "small") == "error_midstream"
    assert asked(one, "large") is None


def test_unknown_faults_are_named() -> None:
    with pytest.raises(InvalidRequest, match=r"explode.*garbage") as caught:
        asked(ask(metadata={"mock_fault": "explode"}), "small")
    assert caught.value.param == "metadata.mock_fault"


def test_faults_come_in_their_shares() -> None:
    shares = MockFaults(error=0.1, garbage=0.2, hang=0.3)
    found = Counter(drawn(shares, Draws(derive(b"f", i))) for i in range(5_000))
    assert set(found) == {None, "error", "garbage", "hang"}
    expected: dict[Fault | None, float] = {None: 0.4, "error": 0.1, "garbage": 0.2, "hang": 0.3}
    for fault, share in expected.items():
        assert abs(found[fault] / 5_000 - share) < 0.03
    assert drawn(MockFaults(), Draws(b"k")) is None
    assert drawn(MockFaults(repeat=1.0), Draws(b"k")) == "repeat"


def test_texts() -> None:
    assert gibberish(Draws(b"a")) != gibberish(Draws(b"b"))
    looped = repeated("The card is on its way to you since Monday")
    assert looped.count("The card is on its way to you") == 20
    assert repeated("")
