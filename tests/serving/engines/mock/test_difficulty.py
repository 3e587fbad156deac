import gzip
import json
import os
from itertools import islice
from pathlib import Path
from statistics import mean, stdev

import pytest

from serving.engines.mock.brain import ask as question
from serving.engines.mock.difficulty import SPREAD, difficulty, features
from serving.engines.mock.reading import read
from tests.serving.engines.helpers import ask


def felt(text: str) -> float:
    return features(read(ask(text)))


@pytest.mark.parametrize(
    ("easier", "harder"),
    [
        ("Where is my card?", "Explain why my card has not come after three weeks of waiting"),
        ("What is a mortgage?", "Solve x * x - 5 * x + 6 = 0 and compute the sum of its roots"),
        ("Where is the station?", "Write a python function that finds the shortest path"),
        ("Who wrote Faust?", "Prove that the square root of two is irrational"),
        ("Which is it?", "Which is it?\nA. this\nB. that"),
    ],
)
def test_harder_looking_requests_are_harder(easier: str, harder: str) -> None:
    assert felt(easier) < felt(harder)


def test_the_drawn_part_is_normal_and_independent_of_the_features() -> None:
    reading = read(ask("Where is my card?"))
    drawn = [difficulty(reading, i.to_bytes(2, "big")) for i in range(4_000)]
    assert abs(stdev(drawn) - SPREAD) < 0.04


def test_close_to_standard_normal_over_typical_traffic() -> None:
    folder = os.environ.get("STEPWELL_TEST_DATA")
    if folder is None:
        pytest.skip("STEPWELL_TEST_DATA is unset")
    found: list[float] = []
    for name in ("banking77_test", "clinc150_val", "gsm8k_outcomes", "mmlu_outcomes"):
        with gzip.open(Path(folder) / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in islice(lines, 500):
                row = json.loads(line)
                found.append(question(ask(row.get("text") or row["prompt"])).difficulty)
    assert abs(mean(found)) < 0.15
    assert abs(stdev(found) - 1) < 0.1
