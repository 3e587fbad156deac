"""A stream of requests, drawn from a seed: real questions where there are some."""

import gzip
import importlib.util
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.bench.hosted.texts import text

DATA = os.environ.get("STEPWELL_TEST_DATA")
FILE = "banking77_test.jsonl.gz"

EXACT, SEMANTIC, ROUTING, PROMPT_CACHING, BATCH, FLEX = ORDER = (
    "exact_cache",
    "semantic_cache",
    "routing",
    "prompt_caching",
    "batch",
    "flex",
)
"""In the order in which the ledger takes them, by the names of their parts."""

HAS_SEMANTIC = importlib.util.find_spec("faiss") is not None
"""Whether the extra is installed that the semantic cache needs."""
LEVERS = tuple(lever for lever in ORDER if lever != SEMANTIC or HAS_SEMANTIC)

LONG = 30
"""Texts in a batch's line."""
RULES = "You help the customers of a bank. " + "Answer politely and name the paragraph. " * 250
FAULT = {"mock_fault": "error_midstream", "mock_fault_tier": "local"}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `batch` and `flex` may wait; a `faulty` one breaks off at the local tier."""

    number: int
    text: str
    how: Literal["live", "flex", "batch"] = "live"
    faulty: bool = False

    def body(self, *, pinned: bool) -> dict[str, Any]:
        messages = [{"role": "user", "content": self.text}]
        if self.how != "batch":
            messages.insert(0, {"role": "system", "content": RULES})
        task = "nightly" if self.how == "batch" else "desk"
        tags = {"task": task, "feature": task}
        tags |= FAULT if self.faulty else {}
        model = "opus" if pinned else "auto"
        return {"model": model, "messages": messages, "metadata": tags}


def workload(texts: Sequence[str], count: int, seed: int = 7) -> list[Ask]:
    """Of the texts: a third of the questions come again, every fifth request is a batch's line (a
    longer text, without the rules), every seventh can wait for room, every eighth is an earlier
    question in other words, which comes once, every 24th meets a fault.
    """
    luck = random.Random(seed)
    fresh = iter(luck.sample(list(texts), count))
    asked: list[str] = []
    reworded: list[str] = []
    found = []
    for number in range(count):
        if number % 5 == 4:
            found.append(Ask(number, " ".join(luck.sample(list(texts), LONG)), "batch"))
            continue
        if number % 8 == 6:
            reworded.append(luck.choice([text for text in asked if text not in reworded]))
            found.append(Ask(number, f"Please, {reworded[-1][0].lower()}{reworded[-1][1:]}"))
            continue
        again = asked and luck.random() < 1 / 3
        text = luck.choice(asked) if again else next(fresh)
        how: Literal["live", "flex"] = "flex" if number % 7 == 3 else "live"
        found.append(Ask(number, text, how, faulty=number % 24 == 7 and not again))
        if not found[-1].faulty:
            asked.append(text)
    return found


def questions(count: int = 3_000) -> list[str]:
    """A bank's customers' where the test data are there, else made up."""
    if not DATA:
        made = (text(random.Random(i).randint(5, 25), f"question {i}") for i in range(count))
        return [f"{words.capitalize()}?" for words in made]
    with gzip.open(Path(DATA) / FILE, "rt", encoding="utf-8") as lines:
        return sorted({json.loads(line)["text"] for line in lines})
