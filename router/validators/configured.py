"""Checks of the validators that a configuration names, before the first request needs them."""

from router.validators.base import Validators
from serving.errors import ConfigError, InvalidRequest
from serving.settings.root import Settings


def check_tasks(settings: Settings) -> None:
    """`ConfigError` names the first task and validator whose pattern or schema cannot be used."""
    for task in (*settings.tasks, settings.default_task):
        for index, spec in enumerate(task.validators):
            try:
                Validators.compile([spec])
            except InvalidRequest as error:
                where = f"tasks.{task.name}.validators.{index}"
                raise ConfigError(f"{where}: {error.message}") from error
