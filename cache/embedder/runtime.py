"""Sessions of ONNX Runtime, and which arithmetic is the right one on this machine."""

import math
import os
import time
from functools import cache
from typing import Any, Literal

from cache.embedder.checkpoint import Checkpoint
from cache.embedder.graph import IR_VERSION, OPSET, build_graph
from cache.embedder.products import Make, plain, two_level
from cache.embedder.weights import Weights

Precision = Literal["float32", "int8"]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

PROBE_ROWS, PROBE_INNER, PROBE_OUTER = 14, 512, 1_024
PROBE_RUNS = 25
MIN_GAIN = 2.5
"""How many times as fast one product in eight bits must be to pay: there are two of each."""


@cache
def cuda() -> bool:
    """Whether this build of ONNX Runtime has CUDA, and finds a GPU for it."""
    import numpy as np  # noqa: PLC0415

    if CUDA not in _runtime().get_available_providers():
        return False
    small = _probe("MatMul", np.ones((PROBE_INNER, PROBE_OUTER), np.float32), [CUDA, CPU])
    return CUDA in small.get_providers()


def encoder(of: Checkpoint, weights: Weights, precision: Precision, threads: int) -> Any:
    """A session of the encoder: eight bits are for the CPU alone."""
    make: Make = two_level if precision == "int8" else plain
    where = [CUDA, CPU] if precision == "float32" and cuda() else [CPU]
    return session(build_graph(of, weights, make), threads, where)


def session(graph: bytes, threads: int, where: list[str]) -> Any:
    ort = _runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would otherwise spin, which takes the core from whoever else runs here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=where)


@cache
def integers_pay() -> bool:
    """Whether eight bits are exact on this processor and fast enough to be worth it. Takes some
    20 ms, once.
    """
    import numpy as np  # noqa: PLC0415

    if not integers_hold():
        return False
    whole, full = _integers()
    floats = _probe("MatMul", np.ones((PROBE_INNER, PROBE_OUTER), np.float32), [CPU])
    ones = {"x": np.ones((PROBE_ROWS, PROBE_INNER), np.float32)}
    return _fastest(floats, ones) > MIN_GAIN * _fastest(whole, full)


@cache
def integers_hold() -> bool:
    """Whether products of eight bits are exact on this processor: without the instructions made
    for them sums may be cut off.
    """
    whole, full = _integers()
    return bool((whole.run(None, full)[0] == 255 * 127 * PROBE_INNER).all())


def _integers() -> tuple[Any, dict[str, Any]]:
    """A product of the largest numbers of eight bits, and what to feed it."""
    import numpy as np  # noqa: PLC0415

    weight = np.full((PROBE_INNER, PROBE_OUTER), 127, np.int8)
    full = np.full((PROBE_ROWS, PROBE_INNER), 255, np.uint8)
    return _probe("MatMulInteger", weight, [CPU]), {"x": full}


def _runtime() -> Any:
    """ONNX Runtime, which from 1.31 on reports to its makers unless it is told not to before it is
    imported. Import it nowhere else.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415

    return onnxruntime


def _probe(kind: Literal["MatMul", "MatMulInteger"], weight: Any, where: list[str]) -> Any:
    """A session of that product alone, from `x` to `y`."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    whole = kind == "MatMulInteger"
    x, y = (TensorProto.UINT8, TensorProto.INT32) if whole else (TensorProto.FLOAT,) * 2
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", x, (PROBE_ROWS, PROBE_INNER))],
        [helper.make_tensor_value_info("y", y, (PROBE_ROWS, PROBE_OUTER))],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    return session(model.SerializeToString(), 1, where)


def _fastest(made: Any, fed: dict[str, Any]) -> float:
    """Seconds of the fastest run, which others on the machine disturb least."""
    best = math.inf
    for _ in range(PROBE_RUNS):
        began = time.perf_counter()
        made.run(None, fed)
        best = min(best, time.perf_counter() - began)
    return best
