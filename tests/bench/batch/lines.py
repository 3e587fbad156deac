"""The lines of a batch: real requests of two data sets, each behind the rules of its desk."""

import gzip
import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SETS = ("banking77_test", "banking77_train", "clinc150_val", "clinc150_train")
MAX_TOKENS = 300
RULES = 20
"""Sentences of a desk's rules: 260 words, fewer tokens than a prompt cache takes."""
REFUSED_EVERY = 97
"""One line in so many asks a tier by name for what it cannot take, and so ends as an error."""
TOO_LONG = "word " * 40_000


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    """`count` requests, drawn without repeats from all sets together, each with its desk."""
    folder = Path(os.environ["STEPWELL_TEST_DATA"])
    found = [(name.split("_")[0], text) for name in SETS for text in _of(folder, name)]
    random.Random(seed).shuffle(found)
    if count > len(found):
        raise SystemExit(f"there are {len(found):,} requests")
    return found[:count]


def body(desk: str, text: str, sentences: int = RULES) -> dict[str, Any]:
    """A chat request."""
    return {
        "model": "auto",
        "messages": [
            {"role": "system", "content": rules(desk, sentences)},
            {"role": "user", "content": text},
        ],
        "max_completion_tokens": MAX_TOKENS,
        "metadata": {"feature": f"{desk}-desk"},
        "stepwell": {"explain": True},
    }


def rules(desk: str, sentences: int) -> str:
    parts = [f"Rule {i} of the {desk} desk: answer politely and name it." for i in range(sentences)]
    return " ".join(parts)


def write(path: Path, wanted: Sequence[tuple[str, str]], sentences: int = RULES) -> dict[str, str]:
    """A batch's input file; `custom_id` of each line with its desk."""
    desks = {}
    with path.open("w", encoding="utf-8") as file:
        for i, (desk, text) in enumerate(wanted):
            custom_id = f"line-{i:05}"
            desks[custom_id] = desk
            asked = body(desk, text, sentences)
            if i % REFUSED_EVERY == REFUSED_EVERY - 1:
                asked |= {"model": "local-7b", "messages": [{"role": "user", "content": TOO_LONG}]}
            line = {"custom_id": custom_id, "method": "POST", "body": asked}
            file.write(json.dumps(line | {"url": "/v1/chat/completions"}) + "\n")
    return desks


def _of(folder: Path, name: str) -> Iterator[str]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]
