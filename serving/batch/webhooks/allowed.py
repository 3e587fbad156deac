"""Which URLs may be told: those of hosts that the configuration names, and no others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from serving.errors import InvalidRequest
from serving.settings.webhooks import HTTPS_PORT, WebhookSettings

URL_LABEL = "webhook_url"
"""The key of the metadata under which a client names its URL."""
PARAM = f"metadata.{URL_LABEL}"
PORTS = {"https": HTTPS_PORT, "http": 80}
URL = re.compile(r"[!-~]{1,512}")  # what parsers might read differently never gets to one


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts; `path` is what stands behind the host, query included."""

    scheme: str
    host: str
    port: int
    path: str
    private: bool

    @property
    def authority(self) -> str:
        """Host and port as the `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Allowed:
    """The allow-list. One that is off allows nothing."""

    def __init__(self, settings: WebhookSettings) -> None:
        hosts = settings.hosts if settings.enabled else ()
        self._enabled = settings.enabled
        self._hosts = {(host.host, host.port): host for host in hosts}

    def check(self, labels: Mapping[str, str] | None) -> None:
        """`InvalidRequest` where a batch's metadata names a URL that may not be told."""
        if labels is not None and URL_LABEL in labels:
            self.target(labels[URL_LABEL])

    def target(self, url: str) -> Target:
        """`InvalidRequest` says why this URL may not be told."""
        if not self._enabled:
            raise _refused("webhooks are off here", "webhooks_off")
        if not URL.fullmatch(url) or "\\" in url:
            raise _refused("it is no URL of printable ASCII characters", "invalid_url")
        scheme, host, port, path = _parts(url)
        known = self._hosts.get((host, port))
        if known is None:
            raise _refused(
                f"the host {host[:128]!r} with port {port} is not on this server's list of hosts"
                " that may be told",
                "webhook_host_not_allowed",
            )
        if scheme == "http" and not known.loopback:
            raise _refused("it must begin with https://", "invalid_url")
        return Target(scheme, host, port, path, known.private)


def _parts(url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        raise _refused("it is no URL", "invalid_url") from None
    if scheme not in PORTS or not host:
        raise _refused("it must begin with https:// and name a host", "invalid_url")
    if "@" in parts.netloc:
        raise _refused("it must not hold a user name or password", "invalid_url")
    if "#" in url:
        raise _refused("it must not hold a fragment", "invalid_url")
    query = f"?{parts.query}" if "?" in url else ""
    return scheme, host, PORTS[scheme] if port is None else port, (parts.path or "/") + query


def _refused(why: str, code: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{PARAM}': {why}.", param=PARAM, code=code)


OFF = Allowed(WebhookSettings())
