"""Ports to listen on."""

import errno
import random
import socket

from serving.errors import ConfigError

BACKLOG = 2_048
FIRST, LAST = 61_000, 65_535
"""Above those that Linux gives to outgoing connections and to whoever listens on any port."""


def listen(host: str, port: int, *, hint: str) -> socket.socket:
    """A socket that listens there, on a free port for 0: from then on clients can connect.
    `ConfigError` with the `hint` what to do where it can't.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, so that the loop turns off the delaying of small writes.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # As servers do: a port whose old connections linger in TIME_WAIT is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        used = error.errno == errno.EADDRINUSE
        why = "is in use" if used else f"can't be used ({error.strerror or error})"
        raise ConfigError(f"port {port} of {host} {why}; {hint}") from None
    listener.setblocking(False)
    return listener


def claim(host: str, port: int, *, hint: str) -> int:
    """The port, if it is free, and a free one for 0; whoever asked binds it a while later. So a
    free one is none that the system may give to anybody meanwhile: Ray takes hundreds as it starts,
    and HAProxy would share it with some of them. `ConfigError` with the `hint` what to do where it
    can't be bound.
    """
    if port == 0:
        return _free(host, hint)
    with listen(host, port, hint=hint):
        return port


def _free(host: str, hint: str) -> int:
    for port in random.sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
        try:
            with listen(host, port, hint=hint):
                return port
        except ConfigError as error:
            refused = error
    raise refused
