"""Parameters and bytes that follow from a model's dimensions, against published figures."""

import pytest
from pydantic import ValidationError

from serving.engines.vllm.known import known_models
from serving.engines.vllm.shapes import PLAIN, Shape, Weights

GIB = 2**30
FP8 = Weights(name="fp8", bits=8)
FOUR_BIT = Weights(name="4-bit", bits=4.15625)
# What the checkpoints' own indexes add up to.
PUBLISHED = {
    "Qwen2.5-0.5B": 494_032_768,
    "Qwen2.5-1.5B": 1_543_714_304,
    "Qwen2.5-3B": 3_085_938_688,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen2.5-14B": 14_770_033_664,
    "Qwen2.5-32B": 32_763_876_352,
    "Qwen2.5-72B": 72_706_203_648,
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-1.7B": 1_720_574_976,
    "Qwen3-4B": 4_022_468_096,
    "Qwen3-4B-2507": 4_022_468_096,
    "Qwen3-8B": 8_190_735_360,
    "Qwen3-14B": 14_768_307_200,
    "Qwen3-32B": 32_762_123_264,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Qwen3-Embedding-0.6B": 595_776_512,
    "Qwen3-Embedding-4B": 4_021_774_336,
    "Qwen3-Embedding-8B": 7_567_295_488,
    "Llama-3.2-1B": 1_235_814_400,
    "Llama-3.2-3B": 3_212_749_824,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.1-70B": 70_553_706_496,
    "Mistral-7B-v0.3": 7_248_023_552,
    "Mistral-Small-24B-2501": 23_572_403_200,
    "Mixtral-8x7B-v0.1": 46_702_792_704,
}


def shape(name: str) -> Shape:
    found = known_models().shape(name)
    assert found is not None
    return found


def gib(
    name: str, weights: Weights, *, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> float:
    size = shape(name).weight_bytes(
        weights, 2, tensor_parallel=tensor_parallel, pipeline_parallel=pipeline_parallel
    )
    return size / GIB


def kv(
    name: str, value_bytes: int = 2, *, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> float:
    size = shape(name).kv_bytes_per_token(
        value_bytes, tensor_parallel=tensor_parallel, pipeline_parallel=pipeline_parallel
    )
    return size / 1024


def test_every_known_model_has_its_published_number_of_parameters() -> None:
    assert {s.name: s.parameters for s in known_models().shapes} == PUBLISHED


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_plain_weights_take_two_bytes_a_parameter(name: str) -> None:
    size = shape(name).weight_bytes(PLAIN, 2, tensor_parallel=1, pipeline_parallel=1)
    assert size == 2 * PUBLISHED[name]


def test_quantised_weights_keep_embeddings_whole() -> None:
    assert gib("Llama-3.1-70B", FP8) == pytest.approx(67.7, abs=0.05)
    assert gib("Qwen2.5-7B", FOUR_BIT) == pytest.approx(5.20, abs=0.02), "as vLLM reports at load"
    assert gib("Llama-3.1-70B", FOUR_BIT) == pytest.approx(37.0, abs=0.1)


def test_weights_are_divided_among_the_gpus_of_a_layer() -> None:
    assert gib("Llama-3.1-70B", FP8, tensor_parallel=2) == pytest.approx(33.8, abs=0.05)
    assert gib("Llama-3.1-70B", FP8, tensor_parallel=8) == pytest.approx(8.46, abs=0.01)
    more_than_heads = gib("Qwen2.5-7B", PLAIN, tensor_parallel=7)
    assert more_than_heads > gib("Qwen2.5-7B", PLAIN) / 7, "key and value heads are copied"


def test_the_fullest_stage_of_a_pipeline_has_one_table() -> None:
    whole, half = gib("Llama-3.1-8B", PLAIN), gib("Llama-3.1-8B", PLAIN, pipeline_parallel=2)
    assert half == pytest.approx(whole / 2, abs=0.01)
    tied = gib("Llama-3.2-1B", PLAIN, pipeline_parallel=2)
    assert tied > gib("Llama-3.2-1B", PLAIN) / 2


def test_kv_cache_per_token() -> None:
    assert kv("Llama-3.1-70B") == 320
    assert kv("Llama-3.1-70B", 1) == 160
    assert kv("Llama-3.1-8B") == 128
    assert kv("Qwen2.5-7B") == 56
    assert kv("Qwen2.5-0.5B") == 12


def test_kv_heads_are_divided_then_copied() -> None:
    assert kv("Llama-3.1-70B", tensor_parallel=2) == 160
    assert kv("Llama-3.1-70B", tensor_parallel=8) == 40
    assert kv("Llama-3.1-70B", tensor_parallel=16) == 40, "each GPU has at least one head"
    assert kv("Llama-3.1-70B", pipeline_parallel=2) == 160


@pytest.mark.parametrize(
    ("name", "gpus", "even"),
    [
        ("Qwen2.5-7B", 2, True),
        ("Qwen2.5-7B", 4, True),
        ("Qwen2.5-7B", 8, False),  # 28 heads
        ("Qwen2.5-7B", 7, False),  # 4 key-value heads
        ("Llama-3.1-70B", 16, True),
        ("Llama-3.1-70B", 3, False),
    ],
)
def test_heads_must_come_out_even(name: str, gpus: int, even: bool) -> None:
    assert shape(name).splits(gpus) is even


def test_an_adapter_of_rank_16_on_a_7b() -> None:
    """Rank times the inputs and outputs of all linear layers, 40.4 million parameters."""
    size = shape("Qwen2.5-7B").adapter_bytes(16, tensor_parallel=1, pipeline_parallel=1)
    assert size == 2 * 40_370_176
    shared = shape("Qwen2.5-7B").adapter_bytes(16, tensor_parallel=2, pipeline_parallel=1)
    assert size / 2 < shared < size


def test_impossible_dimensions_are_refused() -> None:
    good = shape("Llama-3.1-8B").model_dump()
    with pytest.raises(ValidationError, match="multiple of kv_heads"):
        Shape.model_validate(good | {"kv_heads": 5})
    with pytest.raises(ValidationError, match="given together"):
        Shape.model_validate(good | {"experts": 8})
