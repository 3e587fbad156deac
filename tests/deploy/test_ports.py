"""Claiming a port."""

import socket
from pathlib import Path

import pytest

from deploy.ports import claim
from serving.errors import ConfigError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_free_port_is_claimed(host: str) -> None:
    port = claim(host, 0, hint="")
    assert claim(host, port, hint="") == port


def test_a_free_port_is_none_that_the_system_gives_away() -> None:
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not given.exists():
        pytest.skip("this system does not tell which ports it gives to connections")
    first, last = map(int, given.read_text().split())
    assert not first <= claim("127.0.0.1", 0, hint="") <= last


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use; try --port"):
            claim("127.0.0.1", port, hint="try --port")


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(ConfigError, match=r"port 80 of 192\.0\.2\.1 can.t be used"):
        claim("192.0.2.1", 80, hint="")
