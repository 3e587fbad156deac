"""Replicas that are given their configuration by Serve, after it has made them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import ConfigError
from serving.settings.root import Settings


class Given(ABC):
    """Opened once, with settings that it is bound to or with Serve's `user_config`. Another
    configuration is another replica's, which Serve makes since the version in its environment has
    changed too: what a new configuration breaks never stands in for what worked.
    """

    listens = False
    """Whether clients reach it, so that it must have keys."""

    _config: Mapping[str, Any] | None = None

    @abstractmethod
    async def open(self, settings: Settings) -> None:
        """On return the replica can answer."""

    async def start(self, settings: Settings | None) -> None:
        """`None` waits for `reconfigure`."""
        if settings is not None:
            await self.open(settings)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Serve calls it before the replica is ready, and again whenever the replica's number
        among the others has changed.
        """
        from deploy.ray.built import given_settings  # noqa: PLC0415 - imports the application

        if self._config is None:
            await self.open(given_settings(config, listens=self.listens))
            self._config = config
        elif config != self._config:
            raise ConfigError("user_config has changed without STEPWELL_CONFIG: render it again")


class LateApp:
    """An ASGI application that is there from the start, and answers once another stands behind it.
    Whoever runs it sends no request before that; the other's start and end are its own.
    """

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._running = AsyncExitStack()

    async def open(self, app: FastAPI) -> None:
        await self._running.enter_async_context(app.router.lifespan_context(app))
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert self._app is not None, "Serve sends no request before a replica is ready"
        await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self._running.aclose()
        await send({"type": "lifespan.shutdown.complete"})
