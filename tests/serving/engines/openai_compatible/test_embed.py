"""An OpenAI-compatible server's embeddings, by the real SDK over HTTP."""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from serving.engines.embedding import EmbedderAbility
from serving.engines.openai_compatible.embed import OpenAIEmbedder, openai_embedder_ability
from serving.errors import (
    ConfigError,
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.completion import Usage
from serving.wire.embeddings import vector
from tests.serving.engines.embedders import asking, wanted
from tests.serving.engines.openai_compatible.fake import Fake, answers, late, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE, TWO = vector([1.0, -0.5]), vector([0.25, 2.0])


def reply(*vectors: bytes, **more: Any) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": i, "embedding": b64encode(v).decode()}
        for i, v in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return {"object": "list", "model": "served", "data": data, "usage": usage, **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(server: Fake) -> AsyncIterator[OpenAIEmbedder]:
    made = OpenAIEmbedder(settings(server.url))
    yield made
    await made.aclose()


async def test_what_is_asked_and_what_comes_back(fake: Fake, embedder: OpenAIEmbedder) -> None:
    fake.reply = answers(reply(ONE, TWO))
    request = wanted("a", "b", dimensions=2, params={"input_type": "query"})
    made = await embedder.embed(request, asking())
    assert made.vectors == (ONE, TWO)
    assert (made.model, made.usage) == ("served", Usage(prompt_tokens=7))
    assert fake.paths == ["/v1/embeddings"]
    assert fake.bodies == [
        {
            "model": "local-model",
            "input": ["a", "b"],
            "encoding_format": "base64",
            "dimensions": 2,
            "input_type": "query",
        }
    ]
    assert "authorization" not in fake.headers[0]


async def test_token_arrays_and_a_server_that_knows_numbers_only(
    fake: Fake, embedder: OpenAIEmbedder
) -> None:
    fake.reply = answers({"data": [{"index": 0, "embedding": [1, -0.5]}]})
    made = await embedder.embed(wanted([5, 6]), asking())
    assert made.vectors == (ONE,)
    assert made.usage == Usage()
    assert fake.bodies[0]["input"] == [[5, 6]]
    assert "dimensions" not in fake.bodies[0]


async def test_a_large_answer(fake: Fake, embedder: OpenAIEmbedder) -> None:
    long = vector([0.5] * 1_536)
    fake.reply = answers(reply(*[long] * 64))
    made = await embedder.embed(wanted(*["x"] * 64), asking())
    assert made.vectors == (long,) * 64


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "too long", "param": "input"}, TierRejected),
        (401, {"message": "no"}, TierMisconfigured),
        (404, {"message": "no such model"}, TierMisconfigured),
        (429, {"message": "slow down"}, TierRateLimited),
        (500, {"message": "down"}, TierUnavailable),
        (200, {"message": "out of memory", "code": 500}, TierUnavailable),
    ],
)
async def test_errors(
    fake: Fake,
    embedder: OpenAIEmbedder,
    status: int,
    error: dict[str, Any],
    kind: type[TierError],
) -> None:
    fake.reply = answers({"error": error}, status)
    with pytest.raises(kind) as caught:
        await embedder.embed(wanted(), asking())
    assert caught.value.param == error.get("param")
    assert len(fake.bodies) == 1, "the SDK does not retry"


@pytest.mark.parametrize(
    "content", ["", "not JSON", {"data": []}, {"data": [{"index": 0, "embedding": "?"}]}]
)
async def test_answers_that_are_none(fake: Fake, embedder: OpenAIEmbedder, content: Any) -> None:
    fake.reply = answers(content)
    with pytest.raises(TierProtocolError):
        await embedder.embed(wanted(), asking())


async def test_the_deadline(fake: Fake, embedder: OpenAIEmbedder) -> None:
    fake.reply = late(5)
    with pytest.raises(TierTimeout):
        await embedder.embed(wanted(), asking(0.1))


async def test_nobody_there() -> None:
    away = OpenAIEmbedder(settings("http://127.0.0.1:9/v1"))
    with pytest.raises(TierUnavailable):
        await away.embed(wanted(), asking())
    await away.aclose()


async def test_a_key_goes_with_it_and_never_into_an_error(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBED_KEY", "sk-0123456789abcdef")
    keyed = OpenAIEmbedder(settings(fake.url, api_key_env="EMBED_KEY"))
    fake.reply = answers({"error": {"message": "key sk-0123456789abcdef is odd"}}, 400)
    with pytest.raises(TierRejected) as caught:
        await keyed.embed(wanted(), asking())
    await keyed.aclose()
    assert fake.headers[0]["authorization"] == "Bearer sk-0123456789abcdef"
    assert "0123456789" not in caught.value.message
    monkeypatch.delenv("EMBED_KEY")
    with pytest.raises(ConfigError, match="EMBED_KEY"):
        OpenAIEmbedder(settings(fake.url, api_key_env="EMBED_KEY"))


async def test_what_it_can_is_in_its_settings() -> None:
    url = "http://127.0.0.1:9/v1"
    assert openai_embedder_ability(settings(url)) == EmbedderAbility()
    told = openai_embedder_ability(settings(url, params=["dimensions", "truncate"]))
    assert told == EmbedderAbility(frozenset({"truncate"}), dimensions=True)
    assert not openai_embedder_ability(settings(url, params=[])).dimensions
