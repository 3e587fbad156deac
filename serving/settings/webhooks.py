"""Where signed notices of ended work may be sent, and with which secret."""

import ipaddress
import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from serving.settings.base import EnvName, Frozen, Seconds

HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
HOST_CHARS = 253
HTTPS_PORT = 443


class WebhookHost(Frozen):
    """One host that may be told: its exact name or address, and its port. Written as a text,
    `hooks.example.com` or `hooks.example.com:8443`, or as an object. Its addresses must be public
    unless `private`. Plain HTTP is for loopback hosts alone.
    """

    host: str = Field(max_length=HOST_CHARS)
    port: int = Field(default=HTTPS_PORT, ge=1, le=65_535)
    private: bool = Field(
        default=False, description="its addresses may be private, loopback or link-local"
    )

    @property
    def loopback(self) -> bool:
        return self.host == "localhost" or _is_loopback(self.host)

    @model_validator(mode="before")
    @classmethod
    def _written_as_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        host, _, port = value.rpartition(":")
        if not port.isdecimal() or (":" in host and not host.startswith("[")):
            return {"host": value}
        return {"host": host, "port": port}

    @field_validator("host")
    @classmethod
    def _exact(cls, value: str) -> str:
        host = value.removeprefix("[").removesuffix("]").lower()
        if not (_is_address(host) or HOST.fullmatch(host)):
            raise ValueError(
                "write the exact name or address of a host, and its port behind a colon:"
                " hooks.example.com or hooks.example.com:8443"
            )
        return host

    @model_validator(mode="after")
    def _says_so(self) -> "WebhookHost":
        if self.loopback and not self.private:
            raise ValueError(f"{self.host} is this machine; say `private: true` if it is meant")
        return self


class WebhookSettings(Frozen):
    """Off unless `enabled`. `secret_env` names the variable with the secret (`whsec_…`) that signs
    notices; while it is replaced, `old_secret_env` signs them as well. A try takes `timeout_s` at
    most. One that fails is made again `retry_s` later, then after twice as long each time, up to
    `max_retry_s`, until the notice is `give_up_s` old.
    """

    enabled: bool = False
    hosts: tuple[WebhookHost, ...] = Field(default=(), max_length=1_000)
    secret_env: EnvName | None = None
    old_secret_env: EnvName | None = None
    timeout_s: Seconds = 10.0
    retry_s: Seconds = 5.0
    max_retry_s: Seconds = 3_600.0
    give_up_s: Seconds = 86_400.0

    @model_validator(mode="after")
    def _complete(self) -> "WebhookSettings":
        if self.enabled and not self.hosts:
            raise ValueError("name the hosts that may be told in `hosts`")
        if self.enabled and self.secret_env is None:
            raise ValueError("name the variable with the signing secret in `secret_env`")
        seen = [(h.host, h.port) for h in self.hosts]
        twice = next(
            (f"{host}:{port}" for host, port in seen if seen.count((host, port)) > 1), None
        )
        if twice is not None:
            raise ValueError(f"hosts: {twice} stands twice")
        return self


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback
