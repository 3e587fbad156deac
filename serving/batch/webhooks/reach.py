"""Where a host may be reached: its addresses, looked up once, and none that it may not have."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

from serving.batch.webhooks.allowed import Target

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host; `OSError` where it has none."""

CARRYING = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""NAT64, and the old way of writing IPv4 addresses: the last 32 bits are one."""
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
LAST_32 = 0xFFFF_FFFF


class Unreachable(Exception):
    """`outcome` says why, in a word."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


async def resolve(host: str, port: int) -> list[str]:
    """By the system's resolver, in a thread."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def addresses(target: Target, lookup: Resolve) -> list[str]:
    """Every address of the host, as it may be connected to. `Unreachable` where it has none, or one
    that is not public and the allow-list does not say that it may be: a name that points inside
    once may do so again.
    """
    try:
        found = [ipaddress.ip_address(text) for text in await lookup(target.host, target.port)]
    except (OSError, UnicodeError, ValueError):
        raise Unreachable("unresolved") from None
    if not found:
        raise Unreachable("unresolved")
    for address in found:
        if not (_unicast(address) if target.private else is_public(address)):
            raise Unreachable("address_not_allowed")
    return [str(address) for address in found]


def is_public(address: Address) -> bool:
    """Whether it is an address of the open internet, and stands for none that is not."""
    if address in LOCAL_NAT64:
        return False
    return all(a.is_global and not a.is_multicast for a in (address, *_behind(address)))


def _unicast(address: Address) -> bool:
    return not any(a.is_multicast or a.is_unspecified for a in (address, *_behind(address)))


def _behind(address: Address) -> list[Address]:
    """The IPv4 addresses in an IPv6 address: mapped and the like, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    teredo = address.teredo
    carried = [address.ipv4_mapped, address.sixtofour, *(teredo or ())]
    if any(address in network for network in CARRYING):
        carried.append(ipaddress.IPv4Address(int(address) & LAST_32))
    return [a for a in carried if a is not None]
