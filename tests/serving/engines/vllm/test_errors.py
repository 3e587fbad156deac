"""vLLM's errors in our own."""

from types import SimpleNamespace

import pytest

from serving.engines.vllm.errors import of_exception, of_response
from serving.errors import InvalidRequest, StepwellError, TierRejected, TierUnavailable


class VLLMClientError(Exception):
    parameter = "temperature"


class VLLMValidationError(VLLMClientError):
    pass


class EngineDeadError(Exception):
    pass


def test_a_client_s_fault_is_rejected_and_named() -> None:
    found = of_exception(VLLMValidationError("temperature is too hot"), "local")
    assert isinstance(found, TierRejected)
    assert found.param == "temperature"
    assert "too hot" in found.message


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens",
        "The prompt exceeds max_model_len",
    ],
)
def test_a_prompt_that_is_too_long(said: str) -> None:
    found = of_exception(ValueError(said), "local")
    assert (found.code, found.param) == ("context_length_exceeded", "messages")


def test_a_dead_engine_is_unavailable_and_quotes_nothing() -> None:
    found = of_exception(EngineDeadError("the prompt was: secret"), "local")
    assert isinstance(found, TierUnavailable)
    assert "secret" not in found.message


def test_our_own_errors_stay() -> None:
    error = InvalidRequest("no", param="messages")
    assert of_exception(error, "local") is error


@pytest.mark.parametrize(
    ("code", "kind"), [(400, TierRejected), (404, TierRejected), (500, TierUnavailable)]
)
def test_an_error_response(code: int, kind: type[StepwellError]) -> None:
    response = SimpleNamespace(error=SimpleNamespace(code=code, message="no", param="n"))
    assert isinstance(of_response(response, "local"), kind)
