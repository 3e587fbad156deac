"""Ports to listen on."""

import errno
import socket

from serving.errors import ConfigError

BACKLOG = 2_048


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
    """The port, if it is free, and a free one for 0; whoever asked binds it a moment later.
    `ConfigError` with the `hint` what to do where it can't be bound.
    """
    with listen(host, port, hint=hint) as probe:
        return int(probe.getsockname()[1])
