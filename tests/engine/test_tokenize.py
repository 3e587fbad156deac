"""Tokens as vLLM's own tokenizers tell them, behind the gateway."""

from typing import Any

import httpx2

from tests.engine.conftest import KEYS
from tests.ray.stack import RayStack

CHAT = [{"role": "user", "content": "Where is my order?"}]
HEADERS = {"authorization": f"Bearer {KEYS['acme']}"}


def post(stack: RayStack, path: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{stack.url}{path}", json=body, headers=HEADERS, timeout=60)


def test_there_and_back(stack: RayStack) -> None:
    found = post(stack, "/tokenize", prompt=CHAT[0]["content"], return_token_strs=True)
    assert found.headers["x-stepwell-tier"] == "local-small"
    told = found.json()
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"]) > 3
    assert told["max_model_len"] == 4_096
    assert told["stepwell"]["simulated"] is False
    back = post(stack, "/detokenize", model="local-small", tokens=told["tokens"])
    assert back.json()["prompt"] == CHAT[0]["content"]


def test_a_chat_has_as_many_tokens_as_it_is_billed(stack: RayStack) -> None:
    told = post(stack, "/tokenize", model="local-small", messages=CHAT).json()
    with stack.client(KEYS["acme"], timeout=120) as client:
        messages: Any = CHAT
        answer = client.chat.completions.create(
            model="local-small", messages=messages, max_tokens=1
        )
    assert answer.usage is not None
    assert told["count"] == answer.usage.prompt_tokens
    opened = post(stack, "/tokenize", messages=CHAT, add_generation_prompt=False).json()
    assert opened["tokens"] == told["tokens"][: opened["count"]]


def test_of_an_embedder(stack: RayStack) -> None:
    body = {"prompt": "Where is my order?", "return_token_strs": True}
    told = post(stack, "/tokenize", model="local-embed", **body).json()
    assert told["token_strs"][0] == "[CLS]"
    assert told["token_strs"][-1] == "[SEP]"
    plain = post(stack, "/tokenize", model="local-embed", add_special_tokens=False, **body).json()
    assert plain["token_strs"] == told["token_strs"][1:-1]


def test_no_image_is_fetched_and_claude_tells_nothing(stack: RayStack) -> None:
    image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/secret"}}
    refused = post(stack, "/tokenize", messages=[{"role": "user", "content": [image]}])
    assert refused.status_code == 400
    assert "image_url" in refused.json()["error"]["message"]
    claude = post(stack, "/tokenize", model="sonnet", prompt="x")
    assert claude.status_code == 400
    assert "local-small, local-large, local-embed" in claude.json()["error"]["message"]
