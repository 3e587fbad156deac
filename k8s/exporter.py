"""`python -m k8s.exporter`: what all processes of a pod count, in one answer.

A pod's gateways would answer for their own pod alone, tiers have no endpoint, and whoever asks the
service meets any pod. So a container beside Ray's reads the files that they share.
"""

import os
from collections.abc import Iterable
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import make_wsgi_app

from deploy.paths import METRICS_DIR, data_dir
from serving.errors import StepwellError
from serving.telemetry.processes import Processes

PORT = 9464
PORT_VARIABLE = "STEPWELL_EXPORTER_PORT"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a pod; its NetworkPolicy lets Prometheus alone in


def answer(
    processes: Processes, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """A WSGI application: `/metrics`, and 404 for all else. 503 while the files are locked."""
    if environ.get("PATH_INFO") != "/metrics":
        start_response("404 Not Found", [("content-type", "text/plain")])
        return [b"only /metrics is here\n"]
    try:
        app: Any = make_wsgi_app(processes.registry())
    except StepwellError as error:
        start_response("503 Service Unavailable", [("content-type", "text/plain")])
        return [f"{error.message}\n".encode()]
    found: Iterable[bytes] = app(environ, start_response)
    return found


def server(processes: Processes, host: str, port: int) -> WSGIServer:
    """Listens; `serve_forever` answers one scrape at a time."""
    return make_server(host, port, partial(answer, processes))


def main() -> None:
    """Serves until it is killed."""
    port = int(os.environ.get(PORT_VARIABLE) or PORT)
    processes = Processes(data_dir() / METRICS_DIR, "exporter")
    with server(processes, EVERYWHERE, port) as listening:
        listening.serve_forever()


if __name__ == "__main__":
    main()
