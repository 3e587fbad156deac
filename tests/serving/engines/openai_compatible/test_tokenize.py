"""A server's `/tokenize` and `/detokenize` beside its `/v1`."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from serving.engines.openai_compatible.tokenize import OpenAITokenizer
from serving.errors import TierMisconfigured, TierProtocolError, TierRejected, TierTimeout
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest
from tests.serving.engines.embedders import asking
from tests.serving.engines.openai_compatible.fake import Fake, answers, late, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
TOKENS = {"count": 2, "max_model_len": 512, "tokens": [4, 2], "token_strs": None}


def asked(**body: Any) -> TokenizeRequest:
    return TokenizeRequest.model_validate(body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokenizer(server: Fake) -> AsyncIterator[OpenAITokenizer]:
    made = OpenAITokenizer(settings(server.url, tokenize=True))
    yield made
    await made.aclose()


async def test_a_text(fake: Fake, tokenizer: OpenAITokenizer) -> None:
    fake.reply = answers(TOKENS)
    made = await tokenizer.tokenize(asked(prompt="ab", add_special_tokens=False), asking())
    assert made == Tokenized((4, 2), 512)
    assert fake.paths == ["/tokenize"]
    assert fake.bodies == [{"model": "local-model", "prompt": "ab", "add_special_tokens": False}]


async def test_a_chat(fake: Fake, tokenizer: OpenAITokenizer) -> None:
    fake.reply = answers({"tokens": [4], "token_strs": ["Hi"]})
    request = asked(messages=CHAT, tools=[TOOL], return_token_strs=True)
    made = await tokenizer.tokenize(request, asking())
    assert made == Tokenized((4,), 32_768, ("Hi",)), "its context is the configured one"
    assert fake.bodies == [
        {"model": "local-model", "messages": CHAT, "tools": [TOOL], "return_token_strs": True}
    ]


async def test_and_back(fake: Fake, tokenizer: OpenAITokenizer) -> None:
    fake.reply = answers({"prompt": "ab"})
    assert await tokenizer.detokenize(DetokenizeRequest(tokens=[4, 2]), asking()) == "ab"
    assert fake.paths == ["/detokenize"]
    assert fake.bodies == [{"model": "local-model", "tokens": [4, 2]}]


@pytest.mark.parametrize("content", ["", "not JSON", [1, 2], {"tokens": None}, {"tokens": ["a"]}])
async def test_answers_of_another_shape(
    fake: Fake, tokenizer: OpenAITokenizer, content: Any
) -> None:
    fake.reply = answers(content)
    with pytest.raises(TierProtocolError):
        await tokenizer.tokenize(asked(prompt="x"), asking())


async def test_errors(fake: Fake, tokenizer: OpenAITokenizer) -> None:
    fake.reply = answers({"error": {"message": "bad", "code": 400}}, 400)
    with pytest.raises(TierRejected):
        await tokenizer.tokenize(asked(prompt="x"), asking())
    fake.reply = answers({"detail": "Not Found"}, 404)
    with pytest.raises(TierMisconfigured):
        await tokenizer.detokenize(DetokenizeRequest(tokens=[]), asking())
    fake.reply = late(5)
    with pytest.raises(TierTimeout):
        await tokenizer.tokenize(asked(prompt="x"), asking(0.1))
