"""What is told, and that the `openai` SDK takes the signature for what it is."""

import base64
from datetime import UTC, datetime, timedelta

import openai
import pytest
from openai.types.webhooks import BatchCompletedWebhookEvent

from serving.batch.webhooks.notice import Notice, Signer, notice_id
from serving.errors import ConfigError
from serving.settings.webhooks import WebhookSettings
from tests.serving.batch.webhooks.receiver import OLD_SECRET, SECRET

CREATED = datetime(2026, 11, 22, tzinfo=UTC)


def now() -> datetime:
    """What the SDK compares with: a signature is good for five minutes."""
    return datetime.now(UTC)


def notice(event: str = "batch.completed") -> Notice:
    id_ = notice_id("batch_1", event)
    return Notice(id_, event, "batch_1", "https://a.example/", "a.example:443", CREATED, 1)


def signer(monkeypatch: pytest.MonkeyPatch, secret: str = SECRET, old: str | None = None) -> Signer:
    monkeypatch.setenv("SIGNING", secret)
    named = WebhookSettings(secret_env="SIGNING", old_secret_env=None if old is None else "OLD")
    if old is not None:
        monkeypatch.setenv("OLD", old)
    return Signer.of(named)


def test_the_sdk_verifies_and_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = notice()
    headers = signer(monkeypatch).headers(told.id, told.body, now())
    client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
    event = client.webhooks.unwrap(told.body, headers)
    assert isinstance(event, BatchCompletedWebhookEvent)
    assert (event.id, event.data.id, event.object) == (told.id, "batch_1", "event")
    assert event.created_at == int(CREATED.timestamp())
    assert headers["webhook-id"] == told.id


def test_the_sdk_refuses_what_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = notice()
    headers = signer(monkeypatch).headers(told.id, told.body, now())
    client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
    changed = [
        (told.body.replace(b"batch_1", b"batch_2"), headers),
        (told.body, {**headers, "webhook-id": "evt_other"}),
        (told.body, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}),
    ]
    for body, given in changed:
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body, given)
    old = signer(monkeypatch).headers(told.id, told.body, now() - timedelta(minutes=6))
    with pytest.raises(openai.InvalidWebhookSignatureError, match="too old"):
        client.webhooks.unwrap(told.body, old)


def test_while_a_secret_is_replaced_both_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    told = notice()
    headers = signer(monkeypatch, old=OLD_SECRET).headers(told.id, told.body, now())
    for secret in (SECRET, OLD_SECRET):
        openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(told.body, headers)


def test_ids_are_those_of_what_happened() -> None:
    assert notice_id("batch_1", "batch.failed") == notice_id("batch_1", "batch.failed")
    assert notice_id("batch_1", "batch.failed") != notice_id("batch_2", "batch.failed")
    assert notice_id("batch_1", "batch.failed") != notice_id("batch_1", "batch.expired")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "c2VjcmV0",
        "whsec_",
        "whsec_not base64",
        "whsec_!!!!",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        signer(monkeypatch, secret)
    assert len(secret) < 8 or secret not in caught.value.message
