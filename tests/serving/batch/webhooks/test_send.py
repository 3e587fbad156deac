"""One try to deliver, to a real receiver that behaves well or not."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.webhooks import BatchFailedWebhookEvent

from serving.batch.values import utc_now
from serving.batch.webhooks.allowed import Allowed
from serving.batch.webhooks.notice import Notice, Signer
from serving.batch.webhooks.reach import Resolve, resolve
from serving.batch.webhooks.send import Sender, Tried
from serving.settings.webhooks import WebhookSettings
from tests.serving.batch.webhooks.receiver import FINE, SECRET, Got, Receiver, answers, receiving


@asynccontextmanager
async def sending(
    hosts: list[Any], *, timeout_s: float = 5.0, lookup: Resolve = resolve
) -> AsyncIterator[Sender]:
    settings = WebhookSettings.model_validate(
        {"enabled": True, "hosts": hosts, "secret_env": "SIGNING"}
    )
    signer = Signer.of(settings)
    allowed = Allowed(settings)
    sender = await Sender.open(allowed, signer, timeout_s=timeout_s, lookup=lookup, clock=utc_now)
    try:
        yield sender
    finally:
        await sender.aclose()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNING", SECRET)


def here(receiver: Receiver) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": receiver.port, "private": True}


def notice(url: str) -> Notice:
    return Notice("evt_1", "batch.failed", "batch_1", url, "h", datetime.now(UTC), 1)


async def once(receiver: Receiver, **options: Any) -> Tried:
    async with sending([here(receiver)], **options) as sender:
        return await sender.send(notice(receiver.url))


async def test_a_notice_arrives_signed() -> None:
    async with receiving() as receiver:
        assert await once(receiver) == Tried("200", delivered=True)
    (got,) = receiver.got
    event = openai.OpenAI(api_key="x", webhook_secret=SECRET).webhooks.unwrap(got.body, got.headers)
    assert isinstance(event, BatchFailedWebhookEvent)
    assert (event.id, event.data.id) == ("evt_1", "batch_1")
    assert (got.target, got.headers["content-type"]) == ("/hook", "application/json")
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_no_redirect_is_followed() -> None:
    async with receiving() as other:
        async with receiving(answers(307, headers=f"location: {other.url}\r\n")) as receiver:
            assert await once(receiver) == Tried("307")
        assert other.connections == 0


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await once(receiver)).delivered
        assert (proxy.connections, receiver.connections) == (0, 1)


async def test_a_receiver_that_says_no_is_asked_again_unless_it_is_gone() -> None:
    async with receiving(answers(500, 410, 429, headers="retry-after: 7\r\n")) as receiver:
        assert await once(receiver) == Tried("500", pause_s=7.0)
        assert await once(receiver) == Tried("410", final=True, pause_s=7.0)
        assert await once(receiver) == Tried("429", pause_s=7.0)


async def test_a_receiver_that_never_answers_costs_no_more_than_the_time() -> None:
    async def silent(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def drips(got: Got, writer: asyncio.StreamWriter) -> None:
        for _ in range(1_000):
            writer.write(b"HTTP/1.1 200 OK\r\n"[: 1 + _ % 2])
            await asyncio.sleep(0.02)

    for script in (silent, drips):
        async with receiving(script) as receiver:
            loop = asyncio.get_running_loop()
            began = loop.time()
            tried = await once(receiver, timeout_s=0.3)
            assert tried.outcome in {"timeout", "broken"}
            assert loop.time() - began < 3


async def test_of_an_answer_nothing_is_read_but_its_head() -> None:
    sent = 0

    async def endless(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while sent < 1_000_000_000:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async with receiving(endless) as receiver:
        assert await once(receiver) == Tried("200", delivered=True)
    assert sent < 50_000_000  # what fits into the sockets' buffers


async def test_a_head_without_end_is_given_up() -> None:
    async def endless(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-more: " + b"x" * 8_192 + b"\r\n")
            await writer.drain()

    async with receiving(endless) as receiver:
        assert await once(receiver) == Tried("broken")


async def test_a_connection_that_breaks_is_no_delivery() -> None:
    async def breaks(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(FINE[:20])

    async with receiving(breaks) as receiver:
        assert await once(receiver) == Tried("broken")
        port = receiver.port
    async with sending([{"host": "127.0.0.1", "port": port, "private": True}]) as sender:
        assert await sender.send(notice(receiver.url)) == Tried("unreachable")


async def test_a_name_that_points_inside_is_not_connected_to() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with receiving() as receiver:
        host = f"hooks.example.com:{receiver.port}"
        async with sending([host], lookup=inside) as sender:
            tried = await sender.send(notice(f"https://{host}/"))
        assert tried == Tried("address_not_allowed")
        assert receiver.connections == 0


async def test_a_host_that_left_the_list_is_not_told_any_more() -> None:
    async with receiving() as receiver:
        async with sending(["hooks.example.com"]) as sender:
            assert await sender.send(notice(receiver.url)) == Tried("host_not_allowed")
        assert receiver.connections == 0


def certificate(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """An authority of its own that vouches for `host`, and a server's context with that."""
    x509 = pytest.importorskip("cryptography.x509", reason="certificates need `cryptography`")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    begins = datetime.now(UTC) - timedelta(hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


async def test_the_certificate_must_be_the_host_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = certificate(tmp_path, "hooks.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    asked: list[tuple[str, int]] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    async with receiving(tls=context) as receiver:
        right, wrong = (f"{name}.example.com:{receiver.port}" for name in ("hooks", "other"))
        hosts = [
            {"host": h.split(":")[0], "port": receiver.port, "private": True}
            for h in (right, wrong)
        ]
        async with sending(hosts, lookup=lookup) as sender:
            assert await sender.send(notice(f"https://{right}/a?b")) == Tried("200", delivered=True)
            assert await sender.send(notice(f"https://{wrong}/a?b")) == Tried("unreachable")
    (got,) = receiver.got
    assert (got.headers["host"], got.target) == (right, "/a?b")
    assert asked == [(right.split(":")[0], receiver.port), (wrong.split(":")[0], receiver.port)]


async def test_the_next_address_is_tried_where_the_first_takes_no_connection() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with receiving() as receiver:
        hosts = [{"host": "localhost", "port": receiver.port, "private": True}]
        async with sending(hosts, lookup=lookup) as sender:
            tried = await sender.send(notice(f"http://localhost:{receiver.port}/"))
        assert tried == Tried("200", delivered=True)
