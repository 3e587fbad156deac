"""A slice of the stream of `streams.py`: wrong hits stay within what is allowed."""

import os

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.decision import shipped
from cache.embedder.find import DEFAULT, find_model
from tests.bench.cache.natural import all_cores
from tests.bench.cache.streams import DELTA, FILES
from tests.bench.cache.traffic import Stream, by_cosine, traffic

pytestmark = pytest.mark.skipif(
    not os.environ.get("STEPWELL_TEST_DATA"), reason="STEPWELL_TEST_DATA is unset"
)

REQUESTS = 2_500


@pytest.mark.skipif(find_model(DEFAULT) is None, reason=f"{DEFAULT} is not on this machine")
def test_wrong_hits_stay_within_delta_and_there_are_more_hits_than_by_cosine() -> None:
    of = traffic(all_cores(), FILES, REQUESTS)
    found = [Stream(of, shipped(), seed, DELTA).run() for seed in range(3)]
    cosine = [by_cosine(of, seed, 0.955) for seed in range(3)]
    for outcome, plain in zip(found, cosine, strict=True):
        assert outcome.false_hit_rate <= DELTA
        assert outcome.hit_rate > 1.2 * plain.hit_rate
