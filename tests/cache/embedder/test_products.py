"""Products in eight bits, twice over, come out as those in float32 do."""

from typing import Any

import pytest

from cache.embedder.checkpoint import WEIGHTS, Checkpoint
from cache.embedder.products import FUSED, Make, Product, plain, two_level
from cache.embedder.ranges import attended, gelu_of, normalised
from cache.embedder.runtime import CPU, integers_hold, session
from cache.embedder.weights import Weights

np = pytest.importorskip("numpy", reason="the extra `cache` is not installed")
onnx = pytest.importorskip("onnx", reason="the extra `cache` is not installed")

ROWS, INNER, OUTER = 9, 96, 64


class Nodes:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def constant(self, name: str, tensor: Any) -> str:
        self.tensors.append(onnx.numpy_helper.from_array(np.ascontiguousarray(tensor), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output


def computed(make: Make, x: Any, of: Product) -> Any:
    graph, floats, helper = Nodes(), onnx.TensorProto.FLOAT, onnx.helper
    out = make(graph, "x", of)
    made = helper.make_graph(
        graph.nodes,
        "product",
        [helper.make_tensor_value_info("x", floats, ("rows", INNER))],
        [helper.make_tensor_value_info(out, floats, ("rows", OUTER))],
        graph.tensors,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    return session(model.SerializeToString(), 1, [CPU]).run(None, {"x": x})[0]


@pytest.mark.parametrize(("exacting", "most"), [(False, 0.01), (True, 0.003)])
def test_one_value_a_hundred_times_as_large_as_the_rest_does_no_harm(
    exacting: bool, most: float
) -> None:
    if not integers_hold():
        pytest.skip("ONNX Runtime cuts sums of eight-bit products off on this processor")
    random = np.random.default_rng(3)
    x = random.normal(size=(ROWS, INNER)).astype(np.float32)
    x[0, 5] = 100
    weight = random.normal(size=(INNER, OUTER)).astype(np.float32)
    bias = random.normal(size=OUTER).astype(np.float32)
    of = Product("p", weight, bias, (-120.0, 120.0), exacting)
    expected = x @ weight + bias
    np.testing.assert_allclose(computed(plain, x, of), expected, atol=1e-3)
    error = np.linalg.norm(computed(two_level, x, of) - expected, axis=1)
    assert (error / np.linalg.norm(expected, axis=1)).max() < most


def test_no_normalised_value_leaves_its_range(checkpoint: Checkpoint) -> None:
    weights = Weights(checkpoint.folder / WEIGHTS)
    norm, layer = "embeddings.LayerNorm", "encoder.layer.0"
    gain, shift = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
    random = np.random.default_rng(4)
    worst = np.full((2 * len(gain), len(gain)), -1.0)  # one value holds everything
    worst[np.arange(2 * len(gain)), np.arange(2 * len(gain)) % len(gain)] = len(gain) - 1
    worst[len(gain) :] *= -1
    x = np.concatenate([worst, random.standard_t(2, size=(500, len(gain)))])
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    least, most = normalised(weights, norm)
    out = x * gain + shift
    assert least <= out.min() + 1e-4
    assert out.max() <= most + 1e-4
    assert out.max() > 0.9 * most  # and it is no wider than it must be
    for name, (low, high) in (
        ("attention.self.value", attended(weights, norm, f"{layer}.attention.self.value")),
        ("intermediate.dense", gelu_of(weights, norm, f"{layer}.intermediate.dense")),
    ):
        dense = f"{layer}.{name}"
        made = out @ weights[f"{dense}.weight"].T + weights[f"{dense}.bias"]
        assert made.max() <= high
        assert name == "intermediate.dense" or low <= made.min()
