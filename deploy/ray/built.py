"""The application of a configuration that stands in Serve's own: what `serve deploy` and KubeRay's
`serveConfigV2` import. The parts that it stands in there are `deploy.ray.parts`.
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
    """The application, bound. `args.config` is the part of a configuration that is built in
    (`deploy.ray.parts`); the rest is given to who reads it. `ConfigError` where it is not valid, or
    where the database does not answer.
    """
    from deploy.ray.application import application  # noqa: PLC0415 - imports ray

    if set(args) != {"config"}:
        raise ConfigError("args: expected the one key `config`")
    settings = _settings(args["config"], "args.config")
    assert settings.storage.url is not None
    _migrate(settings.storage.url)
    return application(settings, given=True)


def given_settings(config: Mapping[str, Any], *, listens: bool) -> Settings:
    """The settings in a deployment's `user_config` as its replicas must read them: where clients
    reach these, `listens`, on all addresses. `ConfigError` where they are not valid, or lack keys.
    """
    settings = _settings(config, "user_config")
    return listening_at(settings, EVERYWHERE, None) if listens else settings


def _settings(config: Mapping[str, Any], where: str) -> Settings:
    """With the URL of the database itself."""
    try:
        settings = Settings.model_validate(config)
    except ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    if settings.runtime != "ray":
        raise ConfigError(f"{where}: set `runtime: ray`")
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
