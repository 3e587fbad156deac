"""The fast path gives the vectors of the reference, in both arithmetics."""

import gzip
import os
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from cache.embedder import onnx_model
from cache.embedder.base import Model
from cache.embedder.checkpoint import Checkpoint
from cache.embedder.onnx_model import OnnxModel
from cache.embedder.runtime import Precision, integers_hold

np = pytest.importorskip("numpy", reason="the extra `cache` is not installed")

INEXACT = "ONNX Runtime cuts sums of eight-bit products off on this processor (it lacks VNNI)"
TEXTS = (
    "How do I enable 2FA?",
    "x",
    "What happens if the ATM gives me the wrong amount of money?",
    "Ünïcödé, 日本語, emoji 👍 and\ta tab",
    "word " * 700,
)


def reference() -> Any:
    return orjson.loads((Path(__file__).parent / "reference.json").read_bytes())


@pytest.fixture(scope="module", params=["float32", "int8"])
def model(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> OnnxModel:
    precision: Precision = request.param
    if precision == "int8" and not integers_hold():
        pytest.skip(INEXACT)
    return OnnxModel("minilm", checkpoint, precision=precision)


def test_vectors_are_those_of_sentence_transformers(model: OnnxModel) -> None:
    kept = reference()
    made = model.encode(kept["texts"])
    expected = np.array(kept["vectors"])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosines = (made.vectors * expected).sum(axis=1)
    assert cosines.min() > (0.999 if model.precision == "int8" else 0.99999)
    assert made.vectors.dtype == np.float32
    assert made.vectors.shape == (len(kept["texts"]), model.dimensions)
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)


def test_eight_bits_are_faithful_to_questions_that_were_never_looked_at(
    checkpoint: Checkpoint,
) -> None:
    if "STEPWELL_TEST_DATA" not in os.environ:
        pytest.skip("STEPWELL_TEST_DATA is not set (it holds clinc150_val.jsonl.gz)")
    if not integers_hold():
        pytest.skip(INEXACT)
    file = Path(os.environ["STEPWELL_TEST_DATA"]) / "clinc150_val.jsonl.gz"
    with gzip.open(file) as lines:
        texts = [orjson.loads(line)["text"] for line in lines][::15]
    slow = OnnxModel("slow", checkpoint, precision="float32").encode(texts)
    fast = OnnxModel("fast", checkpoint, precision="int8").encode(texts)
    assert len(texts) >= 100
    assert (slow.vectors * fast.vectors).sum(axis=1).min() >= 0.999


def test_a_model_to_which_eight_bits_are_unfaithful_runs_in_float32(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "integers_pay", lambda: True)
    monkeypatch.setattr(onnx_model, "FAITHFUL", 1.1)
    assert OnnxModel("m", checkpoint).precision == "float32"
    monkeypatch.setattr(onnx_model, "FAITHFUL", -1.1)
    assert OnnxModel("m", checkpoint).precision == "int8"


def test_without_the_instructions_it_runs_in_float32(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "integers_pay", lambda: False)
    assert OnnxModel("m", checkpoint).precision == "float32"


def test_sentence_transformers_agree_where_they_are_installed(
    minilm: Model, checkpoint: Checkpoint
) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from cache.embedder.sentence import SentenceModel

    slow = SentenceModel(str(checkpoint.folder))
    expected, made = slow.encode(TEXTS), minilm.encode(TEXTS)
    assert (made.vectors * expected.vectors).sum(axis=1).min() >= 0.999
    assert made.tokens == expected.tokens
    assert made.cut == expected.cut


def test_neither_padding_nor_company_changes_a_vector(model: OnnxModel) -> None:
    alone = np.concatenate([model.encode([text]).vectors for text in TEXTS])
    together = model.encode(TEXTS * 9).vectors
    for start in range(0, len(together), len(TEXTS)):
        cosines = (together[start : start + len(TEXTS)] * alone).sum(axis=1)
        assert cosines.min() > 0.99999


def test_a_text_is_cut_at_the_models_own_maximum(model: OnnxModel) -> None:
    made = model.encode(["word " * 254, "word " * 254 + "and something else", "word"])
    assert made.tokens == (256, 256, 3)
    assert made.cut == {1}
    np.testing.assert_allclose(made.vectors[0], made.vectors[1], atol=1e-5)


@pytest.mark.parametrize("piece", ["word ", "a", " ", "\u0300", "🏳️‍🌈", "\ud800"])
def test_a_text_of_ten_megabytes_takes_no_time(minilm: Model, piece: str) -> None:
    text = piece * (10_000_000 // len(piece))
    began = time.process_time()
    made = minilm.encode([text])
    assert time.process_time() - began < 1
    assert made.cut == {0}


@pytest.mark.parametrize("text", ["", " \n\t ", "\ud800 alone", "\x00", "a" * 5_000])
def test_every_text_has_a_vector(model: OnnxModel, text: str) -> None:
    vectors = model.encode([text]).vectors
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)


def test_it_says_where_it_runs(minilm: Model) -> None:
    assert isinstance(minilm, OnnxModel)
    assert minilm.device in ("cpu", "cuda")


def test_on_a_gpu_it_runs_in_float32(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which session it asks for; a real one on a GPU is beyond this machine."""
    monkeypatch.setattr(onnx_model, "cuda", lambda: True)
    monkeypatch.setattr(onnx_model, "integers_pay", lambda: True)
    assert OnnxModel("m", checkpoint).precision == "float32"
