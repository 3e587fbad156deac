"""The application of a configuration that stands in Serve's own: what `serve deploy` and KubeRay's
`serveConfigV2` import.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import ValidationError

from deploy.inline import listening_at
from deploy.paths import database_url
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.storage.database import Database

EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a pod; without keys it is refused


def stepwell(args: Mapping[str, Any]) -> Any:
    """The application, bound. `args.config` holds what a configuration file does, so that a change
    of it is a change of Serve's configuration and is rolled out in place. `ConfigError` where it is
    not valid, or where the database does not answer.
    """
    from deploy.ray.application import application  # noqa: PLC0415 - imports ray

    settings = built_settings(args)
    assert settings.storage.url is not None
    _migrate(settings.storage.url)
    return application(settings)


def built_settings(args: Mapping[str, Any]) -> Settings:
    """The settings in `args.config` as every replica must read them: with the URL of the database
    itself, listening on all addresses. `ConfigError` where they are not valid, or lack keys.
    """
    if set(args) != {"config"}:
        raise ConfigError("args: expected the one key `config`")
    try:
        settings = Settings.model_validate(args["config"])
    except ValidationError as error:
        raise ConfigError(f"args.config: {error}") from None
    if settings.runtime != "ray":
        raise ConfigError("args.config: set `runtime: ray`")
    settings = listening_at(settings, EVERYWHERE, None)
    storage = settings.storage.model_copy(update={"url": database_url(settings), "url_env": None})
    return settings.model_copy(update={"storage": storage})


def _migrate(url: str) -> None:
    """Once, before replicas open the database at the same time. In a thread of its own, since
    whoever builds the application may run an event loop.
    """

    async def opened() -> None:
        await (await Database.open(url)).close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(opened())).result()
