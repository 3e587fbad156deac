"""The ONNX graph of a BERT encoder, made from its weights.

Inputs `embedded` (batch x length x hidden, float32: the words' own vectors) and `attention_mask`
(batch x length, int32), output `vectors` (batch x hidden, float32): pooled and brought to length 1
in the graph. There is one segment, so the embedding of its type is added to the positions here;
nobody feeds it. The words are looked up outside, so that their table, half of the model, is neither
copied nor kept by ONNX Runtime. Fused operators are ONNX Runtime's own, on the CPU and on CUDA.
"""

from typing import TYPE_CHECKING, Any

from cache.embedder.checkpoint import Checkpoint
from cache.embedder.products import Make, Product, plain
from cache.embedder.ranges import Range, attended, gelu_of, normalised
from cache.embedder.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tensor = NDArray[np.generic]

OPSET = 17
IR_VERSION = 8
FUSED = "com.microsoft"
WORDS = "embeddings.word_embeddings.weight"


def build_graph(of: Checkpoint, weights: Weights, make: Make = plain) -> bytes:
    """A serialised ONNX model whose products `make` writes; `ConfigError` where the weights lack a
    tensor of a BERT.
    """
    import onnx  # noqa: PLC0415
    from onnx import TensorProto, helper  # noqa: PLC0415

    graph = _Graph(of, weights, make)
    hidden = _encoded(graph)
    assert hidden == "vectors"
    at = ("batch", "length")
    made = helper.make_graph(
        graph.nodes,
        "bert",
        [
            helper.make_tensor_value_info("embedded", TensorProto.FLOAT, (*at, of.hidden)),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT32, at),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ("batch", of.hidden))],
        graph.tensors,
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
    model = helper.make_model(made, opset_imports=imports, ir_version=IR_VERSION)
    serialised: bytes = onnx.ModelProto.SerializeToString(model)
    return serialised


class _Graph:
    """Nodes and constants as they are added; every value has a name of its own."""

    def __init__(self, of: Checkpoint, weights: Weights, make: Make) -> None:
        self.of = of
        self.weights = weights
        self.make = make
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def constant(self, name: str, tensor: "Tensor") -> str:
        import numpy as np  # noqa: PLC0415
        from onnx import numpy_helper  # noqa: PLC0415

        self.tensors.append(numpy_helper.from_array(np.asarray(tensor, order="C"), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper  # noqa: PLC0415

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def split(self, value: str, into: int) -> list[str]:
        """Along the last axis, in equal parts."""
        import numpy as np  # noqa: PLC0415
        from onnx import helper  # noqa: PLC0415

        sizes = self.constant(f"{value}.sizes", np.full(into, self.of.hidden, np.int64))
        parts = [f"{value}.{n}" for n in range(into)]
        node = helper.make_node("Split", [value, sizes], parts, name=f"{value}.split", axis=-1)
        self.nodes.append(node)
        return parts


def _encoded(graph: _Graph) -> str:
    import numpy as np  # noqa: PLC0415

    positions = (
        graph.weights["embeddings.position_embeddings.weight"][: graph.of.max_tokens]
        + graph.weights["embeddings.token_type_embeddings.weight"][0]
    )
    shape = graph.add("Shape", ["embedded"], "shape", start=1, end=2)
    zero = graph.constant("zero", np.zeros(1, np.int64))
    placed = graph.add("Slice", [graph.constant("positions", positions), zero, shape], "placed")
    summed = graph.add("Add", ["embedded", placed], "summed")
    last = "embeddings.LayerNorm"
    hidden = _normalised(graph, summed, last)
    for layer in range(graph.of.layers):
        hidden = _layer(graph, hidden, last, layer)
        last = f"encoder.layer.{layer}.output.LayerNorm"
    return _pooled(graph, hidden)


def _layer(graph: _Graph, x: str, last: str, layer: int) -> str:
    """`last` names the normalisation that `x` comes from: it says how large `x` can be. Exacting
    are, as was measured, the products that end a layer and all those of the later layers.
    """
    import numpy as np  # noqa: PLC0415

    at, late = f"encoder.layer.{layer}", 2 * layer >= graph.of.layers
    weights, own = graph.weights, f"{at}.attention.self"
    parts = [f"{own}.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1)
    bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    every = graph.make(graph, x, Product(own, weight, bias, normalised(weights, last), late))
    asked = [*graph.split(every, 3), "", "attention_mask"]
    heads = {"domain": FUSED, "num_heads": graph.of.heads}
    seen = graph.add("MultiHeadAttention", asked, f"{own}.seen", **heads)
    within = attended(weights, last, parts[2])
    seen = _dense(graph, seen, f"{at}.attention.output.dense", within, exacting=late)
    x = graph.add("Add", [x, seen], f"{at}.attention.sum")
    last = f"{at}.attention.output.LayerNorm"
    x = _normalised(graph, x, last)
    widening = f"{at}.intermediate.dense"
    wide = _dense(graph, x, widening, normalised(weights, last), exacting=late)
    wide = graph.add("Gelu", [wide], f"{at}.gelu", domain=FUSED)
    within = gelu_of(weights, last, widening)
    narrow = _dense(graph, wide, f"{at}.output.dense", within, exacting=True)
    x = graph.add("Add", [x, narrow], f"{at}.output.sum")
    return _normalised(graph, x, f"{at}.output.LayerNorm")


def _dense(graph: _Graph, x: str, at: str, within: Range, *, exacting: bool) -> str:
    weight, bias = graph.weights[f"{at}.weight"].T, graph.weights[f"{at}.bias"]
    return graph.make(graph, x, Product(at, weight, bias, within, exacting))


def _normalised(graph: _Graph, x: str, at: str) -> str:
    scale = graph.constant(f"{at}.weight", graph.weights[f"{at}.weight"])
    bias = graph.constant(f"{at}.bias", graph.weights[f"{at}.bias"])
    return graph.add("LayerNormalization", [x, scale, bias], f"{at}.out", epsilon=graph.of.epsilon)


def _pooled(graph: _Graph, hidden: str) -> str:
    """The length does not matter before the last step, so a mean is a sum."""
    import numpy as np  # noqa: PLC0415

    one = graph.constant("axis", np.array([1], np.int64))
    if graph.of.pooling == "cls":
        first = graph.constant("first", np.array(0, np.int64))
        pooled = graph.add("Gather", [hidden, first], "pooled", axis=1)
    else:
        last = graph.constant("last axis", np.array([2], np.int64))
        counted = graph.add("Cast", ["attention_mask"], "counted", to=1)
        counted = graph.add("Unsqueeze", [counted, last], "counted each")
        kept = graph.add("Mul", [hidden, counted], "kept")
        pooled = graph.add("ReduceSum", [kept, one], "pooled", keepdims=0)
    return graph.add("LpNormalization", [pooled], "vectors", axis=-1, p=2)
