"""How a GPU's memory is divided when vLLM serves a model from it. Pure arithmetic, in bytes.

vLLM may use `utilization` of each GPU. Of that it takes the weights, what a forward pass needs and
what CUDA graphs hold; the rest becomes the KV cache, one pool of tokens that all running requests
share. Weights and KV cache follow exactly from the model's dimensions. The rest is an estimate, on
these assumptions:

- a forward pass handles `batched_tokens` at most and holds at once, per token, the residual, its
  normed copy, and the MLP's gate, input and product (`Shape.activation_values`);
- the sampler holds `SAMPLER_COPIES` arrays of 32-bit logits, one row per sequence; it runs after
  the forward pass, so the larger of the two counts;
- CUDA graphs hold `GRAPHS` and `GRAPHS_PER_LAYER`, kernels' workspaces and libraries `OTHER`;
- a process's own CUDA context, `CONTEXT`, lies outside of what vLLM counts as its own;
- on a CPU, the processes of a replica (server, engine core and worker) take `PROCESSES`, as
  measured with vLLM 0.29, beside the model.
"""

import math
from dataclasses import dataclass

from serving.engines.vllm.shapes import Shape, Weights

GIB = 2**30
MIB = 2**20
SAMPLER_COPIES = 4
GRAPHS = 512 * MIB
GRAPHS_PER_LAYER = 12 * MIB
OTHER = 512 * MIB
CONTEXT = 512 * MIB
PROCESSES = 2560 * MIB
LOGIT_BYTES = 4
GPU_BLOCK = 16
CPU_BLOCK = 128
"""The KV cache is handed out in blocks of so many tokens."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one replica of a tier asks of each of its GPUs, or of a CPU host. `capacity` is what one
    GPU (the host) has, `share` the part of it that is the tier's, `utilization` the part that vLLM
    may take. `kv_bytes` fixes the KV cache's size, which is else what is left. `max_length` is the
    longest sequence, prompt and answer; `value_bytes` are of one number in the KV cache.
    """

    shape: Shape
    weights: Weights
    dtype_bytes: int
    value_bytes: int
    capacity: int
    max_length: int
    max_seqs: int
    batched_tokens: int
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    utilization: float = 0.9
    share: float = 1.0
    kv_bytes: int | None = None
    graphs: bool = True
    adapters: int = 0
    adapter_rank: int = 16
    cpu: bool = False

    @property
    def workers(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of one GPU. `kv_pool` is what is left for the KV cache, negative where the rest is more
    than `budget`; `kv_tokens` are of one replica. `outside` is taken beside `budget`.
    """

    capacity: int
    share: float
    budget: int
    weights: int
    adapters: int
    activations: int
    graphs: int
    other: int
    outside: int
    kv_pool: int
    kv_bytes_per_token: int
    kv_tokens: int
    max_length: int
    max_seqs: int

    @property
    def overhead(self) -> int:
        """All but weights and KV cache."""
        return self.adapters + self.activations + self.graphs + self.other

    @property
    def claim(self) -> int:
        """All that the tier takes."""
        needed = self.weights + self.overhead + max(0, self.kv_pool)
        return max(needed, self.budget) + self.outside

    @property
    def fits(self) -> bool:
        """As vLLM asks at start: a request of the greatest length must fit the KV cache."""
        within = self.claim <= self.share * self.capacity
        return within and self.kv_pool > 0 and self.kv_tokens >= self.max_length

    def requests_at(self, tokens: int) -> int:
        """How many requests of so many tokens, prompt and answer, run at once."""
        return min(self.kv_tokens // max(1, tokens), self.max_seqs)


def plan(load: Load) -> MemoryPlan:
    """How the memory of each GPU would be divided; it may not fit."""
    shape, tp, pp = load.shape, load.tensor_parallel, load.pipeline_parallel
    weights = shape.weight_bytes(
        load.weights, load.dtype_bytes, tensor_parallel=tp, pipeline_parallel=pp
    )
    adapters = load.adapters * shape.adapter_bytes(
        load.adapter_rank, tensor_parallel=tp, pipeline_parallel=pp
    )
    activations = max(_forward(load), _sampler(load))
    graphs = GRAPHS + GRAPHS_PER_LAYER * math.ceil(shape.layers / pp) if load.graphs else 0
    other = PROCESSES if load.cpu else OTHER
    taken = weights + adapters + activations + graphs + other
    budget = math.ceil(load.capacity * load.utilization)
    if load.kv_bytes is not None:  # vLLM then takes what it needs, whatever its budget is
        budget = taken + load.kv_bytes
    per_token = shape.kv_bytes_per_token(load.value_bytes, tensor_parallel=tp, pipeline_parallel=pp)
    pool = budget - taken
    block = CPU_BLOCK if load.cpu else GPU_BLOCK
    return MemoryPlan(
        capacity=load.capacity,
        share=load.share,
        budget=budget,
        weights=weights,
        adapters=adapters,
        activations=activations,
        graphs=graphs,
        other=other,
        outside=0 if load.cpu else CONTEXT,
        kv_pool=pool,
        kv_bytes_per_token=per_token,
        kv_tokens=max(0, pool) // (per_token * block) * block,
        max_length=load.max_length,
        max_seqs=load.max_seqs,
    )


def _forward(load: Load) -> int:
    per_token = load.shape.activation_values(load.tensor_parallel) * load.dtype_bytes
    return load.batched_tokens * per_token


def _sampler(load: Load) -> int:
    if not load.shape.head:
        return 0
    return load.max_seqs * load.shape.vocab * LOGIT_BYTES * SAMPLER_COPIES
