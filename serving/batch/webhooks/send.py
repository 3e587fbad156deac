"""One try to deliver a notice."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import httpx2

from serving.batch.values import Clock
from serving.batch.webhooks.allowed import Allowed, Target
from serving.batch.webhooks.notice import Notice, Signer
from serving.batch.webhooks.reach import Resolve, Unreachable, addresses
from serving.errors import InvalidRequest
from serving.wire.retry_after import retry_after

CONNECT_SHARE = 0.5
"""Of a try's time, that one address may take to answer at all, so that another can be tried."""
GONE = 410


@dataclass(frozen=True, slots=True)
class Tried:
    """`outcome` is the HTTP status or what went wrong. `final`: the receiver wants no more tries;
    else it may ask for `pause_s` before the next.
    """

    outcome: str
    delivered: bool = False
    final: bool = False
    pause_s: float | None = None


class Sender:
    """Sends to what the allow-list allows, at the addresses that were checked, and nowhere else: no
    redirect is followed, no proxy of the environment asked, no connection used twice, no cookie
    kept, no URL logged. That is why it has a transport and no client. Nothing of an answer is read
    but its head.
    """

    def __init__(
        self,
        transport: httpx2.AsyncHTTPTransport,
        allowed: Allowed,
        signer: Signer,
        *,
        timeout_s: float,
        lookup: Resolve,
        clock: Clock,
    ) -> None:
        """`open` makes the transport as it must be."""
        self._transport = transport
        self._allowed = allowed
        self._signer = signer
        self._timeout_s = timeout_s
        self._lookup = lookup
        self._clock = clock

    @classmethod
    async def open(
        cls, allowed: Allowed, signer: Signer, *, timeout_s: float, lookup: Resolve, clock: Clock
    ) -> Self:
        transport = httpx2.AsyncHTTPTransport(
            verify=await asyncio.to_thread(httpx2.create_ssl_context),
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        return cls(transport, allowed, signer, timeout_s=timeout_s, lookup=lookup, clock=clock)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def send(self, notice: Notice) -> Tried:
        """Takes `timeout_s` at most, whatever the receiver does."""
        try:
            async with asyncio.timeout(self._timeout_s):
                target = self._allowed.target(notice.url)
                found = await addresses(target, self._lookup)
                return await self._first_that_answers(notice, target, found)
        except InvalidRequest:
            return Tried("host_not_allowed")
        except Unreachable as error:
            return Tried(error.outcome)
        except (TimeoutError, httpx2.TimeoutException):
            return Tried("timeout")
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return Tried("broken")

    async def _first_that_answers(self, notice: Notice, target: Target, found: list[str]) -> Tried:
        """The next address is tried only where no connection came about: nothing was sent then."""
        for address in found:
            try:
                return await self._post(notice, target, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return Tried("unreachable")

    async def _post(self, notice: Notice, target: Target, address: str) -> Tried:
        body = notice.body
        headers = {
            "host": target.authority,
            "content-type": "application/json",
            "user-agent": "stepwell",
            **self._signer.headers(notice.id, body, self._clock()),
        }
        place = f"[{address}]" if ":" in address else address
        url = f"{target.scheme}://{place}:{target.port}{target.path}"
        timeout = httpx2.Timeout(self._timeout_s, connect=self._timeout_s * CONNECT_SHARE)
        # The certificate must be the host's, whatever address it was reached at.
        extensions = {"sni_hostname": target.host, "timeout": timeout.as_dict()}
        request = httpx2.Request("POST", url, content=body, headers=headers, extensions=extensions)
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return _judged(response.status_code, response.headers)


def _judged(status: int, headers: Mapping[str, str]) -> Tried:
    if 200 <= status < 300:
        return Tried(str(status), delivered=True)
    return Tried(str(status), final=status == GONE, pause_s=retry_after(headers))
