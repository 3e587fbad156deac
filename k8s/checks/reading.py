"""Reads YAML fast: an operator's definition is a megabyte, a minute's work in pure Python."""

from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML


class NoYaml(ValueError):
    """A text that is no YAML."""


def load_all(text: str) -> Iterator[Any]:
    """The documents in it. `NoYaml` where there are none to read."""
    try:
        import yaml  # noqa: PLC0415 - comes with Ray
    except ImportError:
        yield from YAML(typ="safe", pure=True).load_all(text)
        return
    try:
        yield from yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise NoYaml(str(error)) from None
