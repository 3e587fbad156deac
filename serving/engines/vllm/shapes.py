"""The dimensions of decoder models, and what follows from them: parameters and bytes.

Counted are the architectures of Llama, Mistral, Qwen2, Qwen3, Mixtral and Qwen3-MoE: attention with
grouped key-value heads, a gated MLP (or experts, each one of those), RMS norms, and an embedding
that the output layer may share.
"""

from pydantic import Field, model_validator

from serving.settings.base import Frozen

LORA_BYTES = 2


class Weights(Frozen):
    """How the weights of linear layers are stored: `bits` of each, with its share of the scales and
    zero points of its group; null is the model's own type. Embeddings, the output layer, norms and
    biases always are in the model's own type.
    """

    name: str
    bits: float | None = Field(default=None, gt=0, le=64)

    def linear_bytes(self, dtype_bytes: int) -> float:
        """Bytes of one weight of a linear layer."""
        return dtype_bytes if self.bits is None else self.bits / 8


PLAIN = Weights(name="unquantised")


class Shape(Frozen):
    """One model. `intermediate` is the width of the MLP, of one expert where there are `experts`.
    `positions` is the longest sequence that it was made for. `head` is the output layer, which
    embedding models lack.
    """

    name: str
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    intermediate: int = Field(ge=1)
    vocab: int = Field(ge=1)
    positions: int = Field(ge=1)
    tied: bool = False
    head: bool = True
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    experts: int = Field(default=0, ge=0)
    experts_per_token: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> "Shape":
        if self.heads % self.kv_heads:
            raise ValueError("heads must be a multiple of kv_heads")
        if bool(self.experts) != bool(self.experts_per_token):
            raise ValueError("experts and experts_per_token are given together")
        return self

    @property
    def parameters(self) -> int:
        """As model cards count them: a shared embedding once."""
        layer = self._linear(1) + self._small()
        head = self._vocab() if self.head and not self.tied else 0
        return self.layers * layer + self._vocab() + head + self.hidden

    def splits(self, tensor_parallel: int) -> bool:
        """Whether vLLM can share the model's heads out among so many GPUs."""
        fewer, more = sorted((self.kv_heads, tensor_parallel))
        return self.heads % tensor_parallel == 0 and more % fewer == 0

    def weight_bytes(
        self, weights: Weights, dtype_bytes: int, *, tensor_parallel: int, pipeline_parallel: int
    ) -> int:
        """Of one GPU, the fullest one of a pipeline. Linear layers and vocabulary are divided among
        the GPUs of a layer, what is small is held by each.
        """
        linear = self._linear(tensor_parallel) * weights.linear_bytes(dtype_bytes)
        layer = linear + self._small() * dtype_bytes
        table = self._vocab() * dtype_bytes / tensor_parallel
        tables = 2 if self.head and not self.tied and pipeline_parallel == 1 else 1
        stage = self._stage(pipeline_parallel)
        return round(stage * layer + tables * table + self.hidden * dtype_bytes)

    def kv_bytes_per_token(
        self, value_bytes: int, *, tensor_parallel: int, pipeline_parallel: int
    ) -> int:
        """Of one GPU: a key and a value per layer and head; heads are copied where there are more
        GPUs than heads.
        """
        heads = self._kv_heads(tensor_parallel)
        return self._stage(pipeline_parallel) * 2 * heads * self.head_dim * value_bytes

    def adapter_bytes(self, rank: int, *, tensor_parallel: int, pipeline_parallel: int) -> int:
        """Of one GPU, for one LoRA adapter on all linear layers: the factor that reads a divided
        layer's whole input is held by each GPU.
        """
        q = self.heads * self.head_dim // tensor_parallel
        kv = self._kv_heads(tensor_parallel) * self.head_dim
        inner = self.intermediate // tensor_parallel
        attention = (self.hidden + q) + 2 * (self.hidden + kv) + (q + self.hidden)
        mlp = 2 * (self.hidden + inner) + (inner + self.hidden)
        width = attention + max(1, self.experts) * mlp
        return self._stage(pipeline_parallel) * width * rank * LORA_BYTES

    def activation_values(self, tensor_parallel: int) -> int:
        """Values held at once per token in a forward pass: the residual and its normed copy, and
        the MLP's gate, input and product.
        """
        inner = 3 * self.intermediate // tensor_parallel
        if self.experts:
            return 2 * self.hidden + self.experts_per_token * (inner + self.hidden)
        return 2 * self.hidden + inner

    def _linear(self, tensor_parallel: int) -> int:
        """Weights in one layer's linear layers on one GPU."""
        q = self.heads * self.head_dim // tensor_parallel
        kv = self._kv_heads(tensor_parallel) * self.head_dim
        mlp = 3 * self.hidden * self.intermediate * max(1, self.experts) // tensor_parallel
        return 2 * self.hidden * q + 2 * self.hidden * kv + mlp

    def _small(self) -> int:
        """Norms, biases and the experts' router of one layer."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        qkv = (self.heads + 2 * self.kv_heads) * self.head_dim if self.qkv_bias else 0
        output = self.hidden if self.output_bias else 0
        mlp = 2 * self.intermediate + self.hidden if self.mlp_bias else 0
        return norms + qkv + output + mlp + self.hidden * self.experts

    def _vocab(self) -> int:
        return self.vocab * self.hidden

    def _kv_heads(self, tensor_parallel: int) -> int:
        return max(1, self.kv_heads // tensor_parallel)

    def _stage(self, pipeline_parallel: int) -> int:
        return -(-self.layers // pipeline_parallel)
