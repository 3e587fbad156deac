"""POST /tokenize and /detokenize."""

from typing import Any

import pytest

from serving.backend import Call
from serving.errors import TierTimeout
from serving.settings.key_hash import digest
from serving.wire.tokenize import DetokenizeRequest, Tokenized, TokenizeRequest
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import KEY, serving, tier

MINI = {"name": "mini", "model": "bge-mini", "backend": {"engine": "mock"}}
URL = "http://127.0.0.1:9/v1"
TIERS = [
    {**tier("claude"), "backend": {"engine": "anthropic"}},
    tier("mock"),
    {**tier("server"), "backend": {"engine": "openai", "base_url": URL, "tokenize": True}},
]
CHAT = [{"role": "user", "content": "Hi"}]


class Tells:
    """The same tokens for everything; keeps what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[TokenizeRequest | DetokenizeRequest] = []
        self.calls: list[Call] = []

    async def tokenize(self, request: TokenizeRequest, call: Call) -> Tokenized:
        self.asked.append(request)
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        strings = ("a", "b") if request.return_token_strs else None
        return Tokenized((4, 2), 512, strings)

    async def detokenize(self, request: DetokenizeRequest, call: Call) -> str:
        self.asked.append(request)
        return "ab"


def telling(told: Tells | None = None, **changes: Any) -> Any:
    asides = {"tokenizers": dict.fromkeys(("mock", "server", "mini"), told or Tells())}
    options = {"tiers": TIERS, "embedders": [MINI], "aliases": {"gpt-4o": "auto", "ada": "mini"}}
    return serving(Scripted(), asides=asides, **{**options, **changes})


async def test_tokens_of_a_text() -> None:
    told = Tells()
    async with telling(told) as server:
        body = {"model": "server", "prompt": "ab", "return_token_strs": True}
        response = await server.post("/tokenize", json=body)
    assert response.status_code == 200
    assert response.json() == {
        "count": 2,
        "max_model_len": 512,
        "tokens": [4, 2],
        "token_strs": ["a", "b"],
        "stepwell": {"tier": "server", "simulated": False},
    }
    assert response.headers["x-stepwell-tier"] == "server"
    assert "x-stepwell-cost-usd" not in response.headers
    (call,) = told.calls
    assert call.tenant == "default"
    assert 0 < call.remaining <= 120
    assert call.trace.attempts == []


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("auto", "mock"),
        ("gpt-4o", "mock"),
        ("server", "server"),
        ("mini", "mini"),
        ("bge-mini", "mini"),
        ("ada", "mini"),
        (None, "mock"),
    ],
)
async def test_whose_tokens(model: str | None, tier: str) -> None:
    async with telling() as server:
        body = {"messages": CHAT} | ({} if model is None else {"model": model})
        response = await server.post("/tokenize", json=body)
    assert response.headers["x-stepwell-tier"] == tier
    assert (response.headers.get("x-stepwell-simulated") == "true") is (tier != "server")


async def test_back_to_text_where_there_is_a_vocabulary() -> None:
    async with telling() as server:
        found = await server.post("/detokenize", json={"tokens": [4, 2]})
        mock = await server.post("/detokenize", json={"model": "mock", "tokens": [4, 2]})
    assert found.json() == {"prompt": "ab", "stepwell": {"tier": "server"}}
    assert mock.status_code == 400
    assert "Those that can: server." in mock.json()["error"]["message"]


async def test_who_cannot_says_who_can() -> None:
    async with telling() as server:
        response = await server.post("/tokenize", json={"model": "claude", "prompt": "x"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "unsupported_model")
    assert error["param"] == "model"
    assert "Those that can: mock, server, mini." in error["message"]
    async with serving(Scripted(), tiers=TIERS[:1]) as server:
        nobody = await server.post("/tokenize", json={"prompt": "x"})
    assert "Those that can: none." in nobody.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/tokenize", {}, "invalid_value"),
        ("/tokenize", {"prompt": "x", "messages": CHAT}, "invalid_value"),
        ("/tokenize", {"prompt": "x", "chat_template": "y"}, "unknown_parameter"),
        ("/tokenize", {"prompt": 3}, "invalid_type"),
        ("/tokenize", {"prompt": "x" * 2_000_000}, "context_length_exceeded"),
        (
            "/tokenize",
            {"messages": [{"role": "user", "content": "x" * 2_000_000}]},
            "context_length_exceeded",
        ),
        ("/tokenize", {"prompt": "x", "model": "nope"}, "model_not_found"),
        ("/detokenize", {}, "missing_required_parameter"),
        ("/detokenize", {"tokens": [-1]}, "invalid_value"),
        ("/detokenize", {"tokens": ["a"]}, "invalid_type"),
    ],
)
async def test_what_is_refused(path: str, body: dict[str, Any], code: str) -> None:
    told = Tells()
    async with telling(told) as server:
        response = await server.post(path, json=body)
    assert response.status_code in {400, 404}
    assert response.json()["error"]["code"] == code
    assert told.asked == []


async def test_a_fault_of_the_tier() -> None:
    async with telling(Tells(TierTimeout("late"))) as server:
        response = await server.post("/tokenize", json={"prompt": "x"})
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "tier_timeout"


@pytest.mark.parametrize(
    ("scopes", "model", "status"),
    [
        (["chat"], "server", 200),
        (["chat"], "mini", 403),
        (["embeddings"], "mini", 200),
        (["embeddings"], "server", 403),
        (["models"], "server", 403),
    ],
)
async def test_a_key_needs_the_scope_of_what_it_asks_about(
    scopes: list[str], model: str, status: int
) -> None:
    key = {"id": "k", "tenant": "acme", "hash": digest(KEY), "scopes": scopes}
    async with telling(keys=[key]) as server:
        headers = {"authorization": f"Bearer {KEY}"}
        body = {"model": model, "prompt": "x"}
        assert (await server.post("/tokenize", json=body)).status_code == 401
        response = await server.post("/tokenize", json=body, headers=headers)
    assert response.status_code == status


async def test_a_keys_tiers_and_rate_hold() -> None:
    limits = {"max_tier": "mock", "requests_per_minute": 2}
    key = {"id": "k", "tenant": "acme", "hash": digest(KEY), "limits": limits}
    async with telling(keys=[key]) as server:
        headers = {"authorization": f"Bearer {KEY}"}
        codes = [
            (await server.post("/tokenize", json={"model": m, "prompt": "x"}, headers=headers))
            for m in ("server", "auto", "auto")
        ]
    assert [c.status_code for c in codes] == [403, 200, 429]


async def test_metrics_count_it() -> None:
    async with telling() as server:
        await server.post("/tokenize", json={"prompt": "x"})
        await server.post("/detokenize", json={"tokens": []})
        text = (await server.get("/metrics")).text
    for path in ("/tokenize", "/detokenize"):
        assert f'stepwell_requests_total{{endpoint="{path}",status="200"}} 1.0' in text
