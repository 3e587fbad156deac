"""Names of models and GPUs."""

import pytest
from pydantic import ValidationError

from serving.engines.vllm.known import Known, gpu_gib, known_models


@pytest.mark.parametrize(
    ("repository", "shape", "weights"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B", "unquantised"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen2.5-7B", "4-bit"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen2.5-7B", "4-bit"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "Qwen2.5-7B", "int8"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "Llama-3.1-70B", "fp8"),
        ("RedHatAI/Llama-3.3-70B-Instruct-quantized.w4a16", "Llama-3.1-70B", "4-bit"),
        ("nvidia/Llama-3.3-70B-Instruct-FP8", "Llama-3.1-70B", "fp8"),
        ("meta-llama/llama-3.1-8b-instruct", "Llama-3.1-8B", "unquantised"),
        ("s3://models/Qwen3-8B-FP8/", "Qwen3-8B", "fp8"),
        ("/models/Qwen3-8B", "Qwen3-8B", "unquantised"),
    ],
)
def test_a_repository_says_which_model_and_how_it_is_stored(
    repository: str, shape: str, weights: str
) -> None:
    checkpoint, stored = known_models().split(repository)
    found = known_models().shape(checkpoint)
    assert found is not None
    assert (found.name, stored.name) == (shape, weights)


@pytest.mark.parametrize("name", ["Qwen2.5-7B-Instruct-finetuned", "Qwen2.5-Math-7B", ""])
def test_a_name_that_is_only_like_another_is_not_known(name: str) -> None:
    assert known_models().shape(name) is None


def test_a_setting_that_quantises_while_loading() -> None:
    fp8 = known_models().loaded_as("fp8")
    assert fp8 is not None
    assert fp8.bits == 8
    assert known_models().loaded_as("gptq") is None, "its bits stand in the checkpoint"


def test_gpus_have_less_than_their_label_says() -> None:
    labels = {"H100": 80, "H200": 141, "L4": 24, "A10G": 24, "A100-80G": 80, "L40S": 48}
    for name, label in labels.items():
        found = gpu_gib(name)
        assert found is not None
        assert 0.9 * label < found < label
    assert gpu_gib("A100") is None, "there are two sizes"


def test_a_shape_or_name_that_stands_twice_is_refused() -> None:
    known = known_models().model_dump()
    twice = known["checkpoints"] | {"Qwen3-8B": ["Qwen2.5-7B-Instruct"]}
    with pytest.raises(ValidationError, match=r"qwen2\.5-7b-instruct stands twice"):
        Known.model_validate(known | {"checkpoints": twice})
    with pytest.raises(ValidationError, match="no such shape"):
        Known.model_validate(known | {"checkpoints": {"Nobody-1B": []}})
