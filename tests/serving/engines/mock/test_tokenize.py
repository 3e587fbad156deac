"""The mock's tokens, as `/tokenize` shows them."""

from typing import Any

import pytest

from serving.engines.mock.tokenize import MockTokenizer
from serving.engines.mock.tokenizer import prompt_tokens
from serving.errors import TierRejected
from serving.wire.tokenize import DetokenizeRequest, TokenizeRequest
from tests.serving.engines.embedders import asking
from tests.serving.engines.helpers import ask, engine, tier

TOKENIZER = MockTokenizer(tier(engine(), context_tokens=512))
CALL = {"id": "c", "type": "function", "function": {"name": "get_order", "arguments": '{"id": 7}'}}
TOOL = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}


def asked(**body: Any) -> TokenizeRequest:
    return TokenizeRequest.model_validate(body)


async def test_a_text() -> None:
    made = await TOKENIZER.tokenize(asked(prompt="Hello, hello", return_token_strs=True), asking())
    assert made.token_strs == ("Hello", ",", " hello")
    assert len(made.tokens) == 3
    assert (made.max_model_len, made.simulated) == (512, True)
    again = await TOKENIZER.tokenize(asked(prompt="Hello"), asking())
    assert again.tokens == made.tokens[:1]
    assert again.token_strs is None


@pytest.mark.parametrize("text", ["", " ", "héllo wörld\n\n", "\ud800", "日本語", "x" * 30_000])
async def test_token_strings_give_the_text_back(text: str) -> None:
    made = await TOKENIZER.tokenize(asked(prompt=text, return_token_strs=True), asking())
    assert "".join(made.token_strs or ()) == text
    assert all(0 <= token < 2**31 for token in made.tokens)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "Hi"}]},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "in Paris"},
            ],
            "tools": [TOOL],
        },
    ],
)
async def test_a_chat_has_as_many_as_are_billed(body: dict[str, Any]) -> None:
    made = await TOKENIZER.tokenize(asked(**body), asking())
    assert len(made.tokens) == prompt_tokens(ask(**body))


async def test_there_is_no_way_back() -> None:
    with pytest.raises(TierRejected, match="no vocabulary"):
        await TOKENIZER.detokenize(DetokenizeRequest(tokens=[1]), asking())
