"""`stepwell serve` with `runtime: ray`: starts Ray and Serve here, or joins what runs already."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import structlog

from deploy.inline import HINT, listening_at
from deploy.paths import METRICS_DIR, data_dir, database_url
from deploy.ports import claim
from deploy.ray.own import own_flags
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.storage.database import Database
from serving.telemetry.directory import MetricsDirectory
from serving.telemetry.logs import configure

APPLICATION = "stepwell"
MAX_MESSAGE_CHARS = 2_000
FLAGS = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Above the longest stream: HAProxy ends old connections that long after a replica has changed.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "3600",
    # How long a gateway that goes stays reachable, until HAProxy on every node knows of it.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    # Ray's default, and lines that it has no setting for: with splicing, HAProxy does not see that
    # a client has left which waits on a connection to the gateway that was used before.
    "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": (
        "leastconn\n    no option splice-request\n    no option splice-response"
    ),
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deploy.ray.ingress:middlewares",
    # A log line for each request, parsed in Python, for counts that `/metrics` has.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    # Ray would have its workers, so all of Stepwell, step back for any other process of the host.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def serve_ray(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Serves until SIGINT or SIGTERM, then drains. `ConfigError` where it cannot start."""
    configure(settings.log)
    settings = _everywhere(listening_at(settings, host, port))
    # Says now what HAProxy would say later.
    claim(settings.server.host, settings.server.port, hint=HINT)
    asyncio.run(_migrate(settings))
    os.environ["STEPWELL_DATA_DIR"] = str(data_dir())  # replicas work in other folders
    MetricsDirectory(data_dir() / METRICS_DIR).clear()
    joined = bool(os.environ.get("RAY_ADDRESS"))
    own: AbstractContextManager[dict[str, str]] = nullcontext({}) if joined else own_flags()
    with own as flags:
        # Ray reads them when it is imported, here and in its workers.
        for name, value in {**FLAGS, **flags}.items():
            os.environ.setdefault(name, value)
        _serve(settings, joined=joined)


def _serve(settings: Settings, *, joined: bool) -> None:
    ray, serve = _import()
    options = {} if joined else {"address": "local", "include_dashboard": False}
    ray.init(log_to_driver=False, logging_level="warning", **options)
    # After Ray has set its own handlers, and until all is closed: a second Ctrl-C must not break
    # off what the first began.
    with _signals() as stopped:
        try:
            _deploy(serve, settings)
            stopped.wait()
        finally:
            _stop(ray, serve, joined=joined)


def _everywhere(settings: Settings) -> Settings:
    """With what every replica must read alike, whatever its folder and environment."""
    storage = settings.storage.model_copy(update={"url": database_url(settings), "url_env": None})
    return settings.model_copy(update={"storage": storage})


async def _migrate(settings: Settings) -> None:
    """Once, before replicas open the database at the same time; says what is wrong with it."""
    assert settings.storage.url is not None
    await (await Database.open(settings.storage.url)).close()


def _import() -> tuple[Any, Any]:
    try:
        import ray  # noqa: PLC0415 - an extra
        from ray import serve  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "runtime: ray needs Ray; pip install 'stepwell[ray]', or set `runtime: inline`"
        ) from None
    return ray, serve


def _deploy(serve: Any, settings: Settings) -> None:
    from deploy.ray.application import QUIET, application  # noqa: PLC0415 - imports ray

    serve.start(
        http_options={"host": settings.server.host, "port": settings.server.port},
        logging_config=QUIET,
    )
    try:
        serve.run(application(settings), name=APPLICATION, route_prefix="/")
    except RuntimeError:
        raise ConfigError(_why_not(serve)) from None
    structlog.get_logger("stepwell").info(
        "serving", host=settings.server.host, port=settings.server.port, runtime="ray"
    )


def _why_not(serve: Any) -> str:
    """What the deployments that did not come up say; each ends with its own error."""
    found = serve.status().applications[APPLICATION]
    said = [
        f"{name} did not start: {deployment.message.strip()[-MAX_MESSAGE_CHARS:]}"
        for name, deployment in found.deployments.items()
        if deployment.status not in {"HEALTHY", "UPDATING"}
    ]
    return "\n".join(said) or f"the stack did not start: {found.message}"


def _stop(ray: Any, serve: Any, *, joined: bool) -> None:
    """The application first: its gateways finish what they hold while HAProxy still stands before
    them. Shutting all of Serve down at once would cut it.
    """
    try:
        serve.delete(APPLICATION)
    finally:
        if not joined:
            serve.shutdown()
            ray.shutdown()


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; once all is closed they end the process as usual."""
    stopped = threading.Event()
    seen: list[int] = []

    def stop(number: int, _frame: object) -> None:
        seen.append(number)
        stopped.set()

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if seen:
        raise KeyboardInterrupt if seen[0] == signal.SIGINT else SystemExit(128 + seen[0])
