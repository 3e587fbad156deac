"""Keys, scopes and the anonymous caller."""

from typing import Any

import openai
import pytest
from starlette.datastructures import Headers

from serving.api.auth import Keyring
from serving.errors import Forbidden, Unauthenticated
from serving.settings.key_hash import digest
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import KEY, chat, serving, settings

OTHER = KEY.replace("test", "othr")


def key(name: str = "k1", secret: str = KEY, **more: Any) -> dict[str, Any]:
    return {"id": name, "tenant": f"tenant-{name}", "hash": digest(secret), **more}


KEYS = {"keys": [key(), key("k2", OTHER, disabled=True)]}


def ring(**changes: Any) -> Keyring:
    return Keyring(settings(**changes))


def bearer(token: str) -> Headers:
    return Headers({"authorization": f"Bearer {token}"})


def test_a_key_is_its_tenant() -> None:
    caller = ring(**KEYS).identify(bearer(KEY))
    assert (caller.tenant, caller.key_id) == ("tenant-k1", "k1")
    assert caller.scopes == {"chat", "embeddings", "models"}


def test_each_of_many_keys_is_found() -> None:
    secrets = [f"{KEY}{i}" for i in range(300)]
    many = ring(keys=[key(f"k{i}", s) for i, s in enumerate(secrets)])
    assert [many.identify(bearer(s)).key_id for s in secrets] == [f"k{i}" for i in range(300)]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "invalid_api_key"),
        ({"authorization": ""}, "invalid_api_key"),
        ({"authorization": KEY}, "invalid_api_key"),
        ({"authorization": f"Basic {KEY}"}, "invalid_api_key"),
        ({"authorization": "Bearer "}, "invalid_api_key"),
        ({"authorization": f"Bearer {KEY[:-1]}"}, "invalid_api_key"),
        ({"authorization": f"Bearer {KEY}x"}, "invalid_api_key"),
        ({"authorization": "Bearer " + "x" * 100_000}, "invalid_api_key"),
        ({"authorization": f"Bearer {digest(KEY)}"}, "invalid_api_key"),
        ({"authorization": f"Bearer {OTHER}"}, "disabled_api_key"),
    ],
)
def test_who_is_not_let_in(headers: dict[str, str], code: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        ring(**KEYS).identify(Headers(headers))
    assert caught.value.code == code
    assert KEY not in caught.value.message


def test_the_scheme_is_case_insensitive() -> None:
    assert ring(**KEYS).identify(Headers({"authorization": f"bearer  {KEY} "})).key_id == "k1"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "localhost:1", "[::1]:8000", "127.8.9.1", "a.localhost"]
)
def test_without_keys_loopback_is_anonymous(host: str) -> None:
    caller = ring().identify(Headers({"host": host, "authorization": "Bearer anything"}))
    assert (caller.tenant, caller.key_id) == ("default", None)
    caller.require("metrics")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[", ""])
def test_without_keys_no_other_host_name_is_answered(host: str) -> None:
    """A web page can point its own name at 127.0.0.1, and is then allowed to read the answer."""
    with pytest.raises(Forbidden) as caught:
        ring().identify(Headers({"host": host}))
    assert caught.value.code == "host_not_allowed"


async def test_the_sdk_sees_its_own_errors() -> None:
    async with serving(Scripted(), keys=[key(scopes=["models"]), key("k2", OTHER)]) as server:
        with pytest.raises(openai.AuthenticationError) as wrong:
            await server.sdk("sw-wrong").models.list()
        with pytest.raises(openai.PermissionDeniedError) as lacking:
            await server.sdk(KEY).chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "x"}]
            )
        listed = await server.sdk(KEY).models.list()
        assert listed.data
        answered = await server.sdk(OTHER).chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "x"}]
        )
    assert wrong.value.response.headers["www-authenticate"] == "Bearer"
    assert wrong.value.type == "authentication_error"
    assert "chat" in str(lacking.value)
    assert answered.choices


async def test_nothing_is_read_from_who_is_not_let_in() -> None:
    async with serving(Scripted(), **KEYS) as server:
        response = await server.post(content=b"{broken", headers={"content-type": "text/plain"})
    assert response.status_code == 401


async def test_a_call_belongs_to_the_keys_tenant() -> None:
    backend = Scripted()
    async with serving(backend, **KEYS) as server:
        await server.post(json=chat(), headers={"authorization": f"Bearer {KEY}"})
    _, call = backend.asked[0]
    assert (call.tenant, call.key_id) == ("tenant-k1", "k1")
