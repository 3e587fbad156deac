"""`/tokenize` and `/detokenize`: what may be asked, and what leaves."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.wire.embeddings import MAX_TOKEN_ID
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest

CHAT = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def test_a_text_or_a_chat() -> None:
    text = TokenizeRequest.model_validate({"prompt": "", "add_special_tokens": False})
    assert text.model == "auto"
    assert text.options() == {"add_special_tokens": False}
    chat = TokenizeRequest.model_validate(
        {"model": "small", "messages": CHAT, "tools": [TOOL], "return_token_strs": True}
    )
    assert chat.options() == {"return_token_strs": True}
    assert chat.chat.wire() == {"model": "small", "messages": CHAT, "tools": [TOOL]}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": "x", "messages": CHAT},
        {"messages": []},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"prompt": "x", "tools": [TOOL]},
        {"prompt": "x", "add_generation_prompt": True},
        {"prompt": "x", "chat_template_kwargs": {}},
        {"messages": CHAT, "continue_final_message": True},
        {"messages": CHAT, "chat_template": "{{ messages }}"},
        {"prompt": ["x"]},
        {"prompt": "x", "unknown": 1},
    ],
)
def test_anything_else_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TokenizeRequest.model_validate(body)


@pytest.mark.parametrize("tokens", [None, "x", [1.5], [-1], [MAX_TOKEN_ID + 1], [True], ["1"]])
def test_what_is_no_token(tokens: object) -> None:
    with pytest.raises(ValidationError):
        DetokenizeRequest.model_validate({"tokens": tokens})


def test_the_answer_is_vllms() -> None:
    assert Tokenized((4, 2), 512, ("a", "b")).wire("small") == {
        "count": 2,
        "max_model_len": 512,
        "tokens": (4, 2),
        "token_strs": ("a", "b"),
        "stepwell": {"tier": "small", "simulated": False},
    }
