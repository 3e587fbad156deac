"""Legacy requests as chats."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.wire.completion import Chunk, TokenLogprob
from serving.wire.text_completion import TextCompletionRequest, TextEvents


def asked(**fields: Any) -> TextCompletionRequest:
    return TextCompletionRequest.model_validate({"model": "auto", "prompt": "x", **fields})


def test_own_fields_become_the_chats_and_others_pass() -> None:
    (chat,) = asked(logprobs=3, n=2, max_tokens=5, seed=1, stepwell={"cache": False}).as_chats()
    assert chat == {
        "model": "auto",
        "messages": [{"role": "user", "content": "x"}],
        "n": 2,
        "max_tokens": 5,
        "logprobs": True,
        "top_logprobs": 3,
        "seed": 1,
        "stepwell": {"cache": False},
    }


def test_the_default_length_is_openais() -> None:
    assert asked().as_chats()[0]["max_tokens"] == 16
    assert asked(max_tokens=None).as_chats()[0]["max_tokens"] == 16
    assert "max_tokens" not in asked(max_completion_tokens=9).as_chats()[0]


def test_one_chat_per_prompt() -> None:
    chats = asked(prompt=["a", "b"]).as_chats()
    assert [c["messages"][0]["content"] for c in chats] == ["a", "b"]


@pytest.mark.parametrize("prompt", [[1], [[1]], [True], 5, None, [], ["a", 1]])
def test_prompts_are_text(prompt: Any) -> None:
    with pytest.raises(ValidationError):
        asked(prompt=prompt)


def test_chunks_without_text_send_nothing() -> None:
    events = TextEvents(asked(), "cmpl-1", lambda _: "small")
    assert events.piece(0, Chunk("i", 1, "m", role="assistant", content="")) == b""
    assert events.piece(0, Chunk("i", 1, "m", reasoning="hm")) == b""
    assert b'"text":"a"' in events.piece(0, Chunk("i", 1, "m", content="a"))


def test_choices_of_later_prompts_follow_and_offsets_are_their_own() -> None:
    events = TextEvents(asked(prompt=["p", "q"], n=2, logprobs=0), "cmpl-1", lambda _: "small")

    def piece(source: int, index: int, text: str) -> bytes:
        logprobs = (TokenLogprob(text, -1.0),)
        return events.piece(
            source, Chunk("i", 1, "m", index=index, content=text, logprobs=logprobs)
        )

    assert b'"index":3' in piece(1, 1, "abc")
    assert b'"text_offset":[3]' in piece(1, 1, "d")
    assert b'"text_offset":[0]' in piece(0, 1, "e")
