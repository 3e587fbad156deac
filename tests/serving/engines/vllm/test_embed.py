"""vLLM's pooling engine as an Embedder, with vLLM's own part scripted."""

import asyncio
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from serving.engines.vllm.embed import ABILITY, VllmEmbedder, to_vllm, warm_up
from serving.engines.vllm.llm_config import llm_config
from serving.errors import TierProtocolError, TierRejected, TierTimeout, TierUnavailable
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine
from serving.wire.completion import Usage
from serving.wire.embeddings import vector
from tests.serving.engines.embedders import asking, wanted
from tests.serving.engines.helpers import tier

ENGINE = VllmEngine(engine="vllm")
TIER = tier(ENGINE, "bge", context_tokens=512)
ONE = vector([0.6, 0.8])


class EngineDeadError(Exception):
    """Has the name of vLLM's own."""


class VLLMValidationError(ValueError):
    """Has the name of vLLM's own."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class Serving:
    """vLLM's `ServingEmbedding`: raises, returns `answer`, or a vector for each input."""

    def __init__(
        self, answer: Any = None, *, error: Exception | None = None, hang: bool = False
    ) -> None:
        self.answer = answer
        self.error = error
        self.hang = hang
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, request: dict[str, Any]) -> Any:
        self.asked.append(request)
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer
        data = [
            {"index": i, "embedding": b64encode(ONE).decode()} for i in range(len(request["input"]))
        ]
        usage = {"prompt_tokens": 9, "total_tokens": 9}
        return SimpleNamespace(body=orjson.dumps({"model": "bge", "data": data, "usage": usage}))


def embedder(serving: Serving, settings: TierSettings = TIER) -> VllmEmbedder:
    return VllmEmbedder(settings, serving, SimpleNamespace(model_validate=lambda body: body))


async def test_vectors_and_usage() -> None:
    serving = Serving()
    made = await embedder(serving).embed(wanted("a", "b"), asking())
    assert (made.model, made.vectors, made.usage) == ("bge", (ONE, ONE), Usage(prompt_tokens=9))


def test_what_vllm_is_asked() -> None:
    request = wanted([1, 2], dimensions=8, params={"truncate_prompt_tokens": 4})
    body = to_vllm(request, asking(urgency="offline"), TIER)
    assert len(body.pop("request_id")) == 32
    assert body == {
        "model": "bge-model",
        "input": [[1, 2]],
        "dimensions": 8,
        "encoding_format": "base64",
        "embed_dtype": "float32",
        "endianness": "little",
        "cache_salt": "acme",
        "priority": 10,
        "truncate_prompt_tokens": 4,
    }
    assert to_vllm(wanted("x"), asking(), TIER)["priority"] == 0


def test_no_client_can_jump_the_queue_or_read_along() -> None:
    assert ABILITY.params is not None
    for name in ("priority", "cache_salt", "request_id", "chat_template", "mm_processor_kwargs"):
        assert name not in ABILITY.params
    body = to_vllm(wanted("x", params={"cache_salt": "other", "priority": -9}), asking(), TIER)
    assert (body["cache_salt"], body["priority"]) == ("acme", 0)


@pytest.mark.parametrize(
    ("error", "kind", "param", "code"),
    [
        (ValueError("odd"), TierRejected, None, "tier_rejected"),
        (
            VLLMValidationError("no matryoshka", "dimensions"),
            TierRejected,
            "dimensions",
            "tier_rejected",
        ),
        (
            ValueError("This model's maximum context length is 512 tokens"),
            TierRejected,
            "input",
            "context_length_exceeded",
        ),
        (EngineDeadError("dead"), TierUnavailable, None, "tier_unavailable"),
    ],
)
async def test_what_vllm_raises(
    error: Exception, kind: type[Exception], param: str | None, code: str
) -> None:
    with pytest.raises(kind) as caught:
        await embedder(Serving(error=error)).embed(wanted(), asking())
    found: Any = caught.value
    assert (found.param, found.code) == (param, code)


async def test_what_vllm_answers_instead() -> None:
    refused = SimpleNamespace(error=SimpleNamespace(code=400, message="no", param="input"))
    with pytest.raises(TierRejected):
        await embedder(Serving(refused)).embed(wanted(), asking())
    with pytest.raises(TierProtocolError):
        await embedder(Serving(SimpleNamespace(body=b"{}"))).embed(wanted(), asking())


async def test_the_deadline_is_the_calls_or_the_tiers() -> None:
    with pytest.raises(TierTimeout):
        await embedder(Serving(hang=True)).embed(wanted(), asking(0.05))
    hurried = tier(ENGINE, "bge", deadline_s=0.05)
    with pytest.raises(TierTimeout):
        await embedder(Serving(hang=True), hurried).embed(wanted(), asking())


async def test_warming_up_is_a_request() -> None:
    serving = Serving()
    await warm_up(embedder(serving), TIER)
    assert len(serving.asked) == 1
    with pytest.raises(TierUnavailable):
        await warm_up(embedder(Serving(error=EngineDeadError())), TIER)


def test_the_engine_pools() -> None:
    given = llm_config(TIER, embeds=True)["engine_kwargs"]
    assert given["runner"] == "pooling"
    assert "enable_prefix_caching" not in given
    assert "runner" not in llm_config(TIER)["engine_kwargs"]
