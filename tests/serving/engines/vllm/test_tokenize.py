"""The tokenizer of vLLM's engine, with vLLM's own part scripted."""

from types import SimpleNamespace
from typing import Any

import pytest

from serving.engines.vllm.tokenize import RequestTypes, VllmTokenizer
from serving.errors import InvalidRequest, TierRejected
from serving.settings.vllm import VllmEngine
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest
from tests.serving.engines.embedders import asking
from tests.serving.engines.helpers import tier

TIER = tier(VllmEngine(engine="vllm"))
CHAT = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}


class Kind:
    def __init__(self, name: str) -> None:
        self.name = name

    def model_validate(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return self.name, body


class Serving:
    """vLLM's `ServingTokenization`."""

    def __init__(self, answer: Any = None, error: Exception | None = None) -> None:
        self.answer = answer or SimpleNamespace(
            tokens=[4, 2], max_model_len=512, token_strs=["a", "b"], prompt="ab"
        )
        self.error = error
        self.asked: list[Any] = []

    async def create_tokenize(self, request: Any, raw_request: None) -> Any:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return self.answer

    create_detokenize = create_tokenize


def tokenizer(serving: Serving) -> VllmTokenizer:
    return VllmTokenizer(TIER, serving, RequestTypes(Kind("text"), Kind("chat"), Kind("back")))


def asked(**body: Any) -> TokenizeRequest:
    return TokenizeRequest.model_validate(body)


async def test_a_text() -> None:
    serving = Serving()
    made = await tokenizer(serving).tokenize(
        asked(prompt="ab", model="auto", return_token_strs=True), asking()
    )
    assert made == Tokenized((4, 2), 512, ("a", "b"))
    body = {"model": "local-model", "prompt": "ab", "return_token_strs": True}
    assert serving.asked == [("text", body)]


async def test_a_chat_as_a_request_would_send_it() -> None:
    serving = Serving()
    request = asked(messages=CHAT, tools=[TOOL], add_generation_prompt=False)
    await tokenizer(serving).tokenize(request, asking())
    ((kind, body),) = serving.asked
    assert kind == "chat"
    assert body == {
        "model": "local-model",
        "messages": [{"role": "system", "content": "Be brief."}, CHAT[1]],
        "tools": [TOOL],
        "add_generation_prompt": False,
    }


async def test_no_image_is_fetched_for_it() -> None:
    serving = Serving()
    with pytest.raises(InvalidRequest, match="image_url"):
        await tokenizer(serving).tokenize(
            asked(messages=[{"role": "user", "content": [IMAGE]}]), asking()
        )
    assert serving.asked == []


async def test_and_back() -> None:
    serving = Serving()
    text = await tokenizer(serving).detokenize(DetokenizeRequest(tokens=[4, 2]), asking())
    assert text == "ab"
    assert serving.asked == [("back", {"model": "local-model", "tokens": [4, 2]})]


async def test_errors() -> None:
    refused = SimpleNamespace(error=SimpleNamespace(code=400, message="no", param=None))
    for serving in (Serving(refused), Serving(error=ValueError("no"))):
        with pytest.raises(TierRejected, match="no"):
            await tokenizer(serving).tokenize(asked(prompt="x"), asking())
