"""Labelled pairs: how they are read, and what is measured on them."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="these tests need the extra `cache`")

import numpy as np

from cache.embedder.base import Encoded
from cache.evaluate import LabelledPair, cosines_of, read_pairs
from serving.errors import ConfigError

LINES = [
    {"a": "refund order 1", "b": "refund order 2", "same": False},
    {"a": "hello", "b": "hi", "same": True, "source": "mine"},
]


class Lengths:
    """A model whose vectors are the texts' lengths; counts what it was asked."""

    name, dimensions = "lengths", 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Encoded:
        self.asked += texts
        angles = np.array([len(text) for text in texts], np.float32) / 100
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return Encoded(vectors, tuple(len(text) for text in texts))


def write(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(lines), "utf-8")
    return file


def test_plain_and_compressed_files_are_read_alike(tmp_path: Path) -> None:
    lines = [json.dumps(line) for line in LINES]
    plain = write(tmp_path / "pairs.jsonl", lines[0], "", lines[1])
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(lines).encode()))
    expected = [
        LabelledPair("refund order 1", "refund order 2", same=False),
        LabelledPair("hello", "hi", same=True),
    ]
    assert read_pairs(plain) == read_pairs(packed) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "2: not JSON"),
        ("[1]", "2: not a JSON object; an object with a, b and same"),
        ('{"a": "x", "same": true}', "2: b: a text"),
        ('{"a": " ", "b": "y", "same": true}', "2: a: a text"),
        ('{"a": "x", "b": "y", "same": 1}', "2: same: true or false"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = write(tmp_path / "pairs.jsonl", json.dumps(LINES[0]), line)
    with pytest.raises(ConfigError, match=said):
        read_pairs(file)


def test_gzip_is_known_by_its_content_and_a_broken_one_is_named(tmp_path: Path) -> None:
    lines = json.dumps(LINES[0]).encode()
    unnamed, broken = tmp_path / "pairs.jsonl", tmp_path / "broken.jsonl"
    unnamed.write_bytes(gzip.compress(lines))
    assert len(read_pairs(unnamed)) == 1
    broken.write_bytes(gzip.compress(lines)[:-4])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_pairs(broken)


def test_each_text_is_embedded_once() -> None:
    model = Lengths()
    pairs = [LabelledPair("aa", "bbbb", same=True), LabelledPair("bbbb", "aa", same=False)]
    found = cosines_of(pairs, model)
    assert model.asked == ["aa", "bbbb"]
    assert found == pytest.approx([np.cos(0.02)] * 2)
