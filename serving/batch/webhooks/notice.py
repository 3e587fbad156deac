"""Notices: what is told, and how it is signed.

The signature is that of the Standard Webhooks specification, version 1: HMAC-SHA256 over
`id.timestamp.body`, so that its libraries and the `openai` SDK's `webhooks.unwrap` verify it.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import orjson

from serving.errors import ConfigError
from serving.settings.secrets import read_secret
from serving.settings.webhooks import WebhookSettings

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64  # of a secret, as the specification has them
HOW = f"""make one with: python -c "import base64, secrets; print('{PREFIX}' + \
base64.b64encode(secrets.token_bytes(32)).decode())\""""


@dataclass(frozen=True, slots=True)
class Notice:
    """A row of the table `webhooks` whose next try is this process's. `tries` counts this one."""

    id: str
    event: str
    subject: str
    url: str
    host: str
    created_at: datetime
    tries: int

    @property
    def body(self) -> bytes:
        """The same for every try. It names what ended, and holds nothing of what it came to."""
        return orjson.dumps(
            {
                "id": self.id,
                "object": "event",
                "type": self.event,
                "created_at": int(self.created_at.timestamp()),
                "data": {"id": self.subject},
            }
        )


def notice_id(subject: str, event: str) -> str:
    """The same whenever it is asked for, so that nothing is told under two ids."""
    return f"evt_{sha256(f'{subject} {event}'.encode()).hexdigest()[:32]}"


class Signer:
    """Signs with each of the secrets, the current one first."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = tuple(secrets)

    @classmethod
    def of(cls, settings: WebhookSettings) -> "Signer":
        """`ConfigError` where a secret that the configuration names is not there or is none."""
        names = (("secret_env", settings.secret_env), ("old_secret_env", settings.old_secret_env))
        return cls([_secret(name, env) for name, env in names if env is not None])

    def headers(self, notice_id: str, body: bytes, now: datetime) -> dict[str, str]:
        seconds = int(now.timestamp())
        signed = b".".join((notice_id.encode(), str(seconds).encode(), body))
        made = [hmac.new(secret, signed, sha256).digest() for secret in self._secrets]
        return {
            "webhook-id": notice_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(f"v1,{base64.b64encode(m).decode()}" for m in made),
        }


def _secret(name: str, env: str) -> bytes:
    text = read_secret(env, None)
    where = f"batch.webhooks.{name}"
    if text is None:
        raise ConfigError(f"{where}: {env} is not set; {HOW}")
    secret = _decoded(text)
    if secret is None:
        raise ConfigError(f"{where}: {env} holds no secret of the form {PREFIX}BASE64; {HOW}")
    if not LEAST_BYTES <= len(secret) <= MOST_BYTES:
        raise ConfigError(
            f"{where}: the secret in {env} has {len(secret)} bytes; {LEAST_BYTES} to {MOST_BYTES}"
            f" are allowed; {HOW}"
        )
    return secret


def _decoded(text: str) -> bytes | None:
    if not text.startswith(PREFIX):
        return None
    try:
        return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return None
