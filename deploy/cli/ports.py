"""Ports to listen on."""

import errno
import socket
from contextlib import closing

from serving.errors import ConfigError


def claim(host: str, port: int, *, hint: str) -> int:
    """The port, if it is free, and a free one for 0; whoever asked binds it a moment later.
    `ConfigError` with the `hint` what to do where it can't be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        # As servers do: a port whose old connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            why = "is in use" if used else f"can't be used ({error.strerror or error})"
            raise ConfigError(f"port {port} of {host} {why}; {hint}") from None
        return int(probe.getsockname()[1])
