"""Who asks: API keys as bearer tokens, scopes, and the anonymous caller of a keyless loopback.

A key is never compared as text. Its SHA-256 is, in constant time, with the few configured digests
that share its first two bytes. An attacker who times that learns at most whether some key's digest
begins so, which is no step towards a key of 256 random bits.
"""

import hmac
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import get_args
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from serving.errors import Forbidden, Unauthenticated
from serving.settings.key_hash import MAX_CHARS, digest
from serving.settings.keys import Anonymous, KeyLimits, KeySettings, Scope
from serving.settings.root import Settings

ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))
BUCKET = slice(0, len("sha256:") + 4)


@dataclass(frozen=True, slots=True)
class Caller:
    """`key_id` is None for the anonymous caller."""

    tenant: str
    key_id: str | None
    scopes: frozenset[Scope]
    limits: KeyLimits

    def require(self, *scopes: Scope) -> None:
        """One of them is enough."""
        if self.scopes.isdisjoint(scopes):
            named = " or ".join(f"'{scope}'" for scope in scopes)
            raise Forbidden(f"This API key lacks the scope {named}.")


class Keyring:
    """The configured keys."""

    def __init__(self, settings: Settings) -> None:
        self._buckets: dict[str, list[KeySettings]] = defaultdict(list)
        for key in settings.keys:
            self._buckets[key.hash[BUCKET]].append(key)
        self._host = settings.server.host
        self._anonymous = Caller(Anonymous().tenant, None, ALL_SCOPES, KeyLimits())

    def identify(self, headers: Headers) -> Caller:
        """Raises `Unauthenticated` for a key that is missing, unknown or disabled, `Forbidden` for
        an anonymous request that did not address a loopback host: without keys, a web page that
        points its own name at 127.0.0.1 must not be able to ask.
        """
        if not self._buckets:
            host = headers.get("host")
            if host is not None and host != self._host and not _is_loopback(host):
                raise Forbidden(
                    "Without API keys, Stepwell answers only to a loopback host name such as "
                    "127.0.0.1 or localhost. Configure `keys` to serve others.",
                    code="host_not_allowed",
                )
            return self._anonymous
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated(
                "You didn't provide an API key. Send it as `Authorization: Bearer YOUR_KEY`."
            )
        return self._known(token.strip())

    def _known(self, token: str) -> Caller:
        found = None
        if len(token) <= MAX_CHARS:
            presented = digest(token)
            for key in self._buckets.get(presented[BUCKET], ()):
                if hmac.compare_digest(presented, key.hash):
                    found = key
        if found is None:
            raise Unauthenticated("Incorrect API key provided.")
        if found.disabled:
            raise Unauthenticated("This API key is disabled.", code="disabled_api_key")
        return Caller(found.tenant, found.id, frozenset(found.scopes), found.limits)


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False
