"""Reads one YAML file into `Settings` or another frozen model; every error says file, line, key
and what is allowed.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from serving.errors import ConfigError
from serving.settings.introspect import known_keys
from serving.settings.root import Settings

MAX_CONFIG_BYTES = 4_000_000

Model = TypeVar("Model", bound=BaseModel)


def load_settings(path: Path | str) -> Settings:
    """The settings in the YAML file at `path`; `ConfigError` lists all that is wrong with it."""
    return load_model(path, Settings)


def load_model(path: Path | str, model: type[Model]) -> Model:
    """As `load_settings`, for a file of another shape, such as a rate card."""
    path = Path(path)
    tree = _read(path)
    try:
        return model.model_validate(_plain(tree))
    except ValidationError as error:
        found = [_describe(path, tree, e, model) for e in error.errors(include_url=False)]
        raise ConfigError("\n".join(found)) from None


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes")
        tree = YAML(typ="rt").load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = (error.problem or str(error)).splitlines()[0]
        raise ConfigError(f"{path}{line}: {problem}") from None
    except YAMLError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(tree, CommentedMap):
        raise ConfigError(f"{path}:1: expected a mapping of keys")
    return tree


def _plain(node: Any) -> Any:
    """The tree without its line marks, since pydantic's JSON types want plain dicts and lists."""
    if isinstance(node, Mapping):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(v) for v in node]
    return node


def _describe(path: Path, tree: Any, error: ErrorDetails, model: type[BaseModel]) -> str:
    keys, line = _locate(tree, error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if not keys:  # a check of the whole tree names its key itself
        named = message.split(":", 1)[0]
        _, line = _locate(tree, tuple(_by_name(tree, named)))
        return f"{path}:{line}: {message}"
    where = ".".join(str(k) for k in keys)
    if error["type"] == "extra_forbidden":
        known = known_keys(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(keys[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"
        return f"{path}:{line}: {where}: unknown key; {hint}"
    shown = error["input"]
    got = f" (got {shown!r})" if isinstance(shown, str | int | float | bool) else ""
    return f"{path}:{line}: {where}: {message}{got}"


def _locate(tree: Any, loc: tuple[int | str, ...]) -> tuple[list[int | str], int]:
    """The keys of `loc` that stand in the file (a union's tag does not), and the line, from 1, of
    the deepest of them.
    """
    keys: list[int | str] = []
    node: Any = tree
    line = 1
    for i, key in enumerate(loc):
        if isinstance(node, CommentedMap) and key in node:
            line, node = node.lc.key(key)[0] + 1, node[key]
            keys.append(key)
        elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
            line, node = node.lc.item(key)[0] + 1, node[key]
            keys.append(key)
        elif i == len(loc) - 1:
            keys.append(key)  # a key that is missing
    return keys, line


def _by_name(tree: Any, dotted: str) -> list[int | str]:
    """The path of a key such as `tasks.faq.start`, where list items are named by `name` or `id`."""
    found: list[int | str] = []
    node = tree
    for part in dotted.split("."):
        if isinstance(node, Mapping) and part in node:
            found.append(part)
            node = node[part]
        elif isinstance(node, list):
            at = next((i for i, n in enumerate(node) if part in (n.get("name"), n.get("id"))), None)
            if at is None:
                break
            found.append(at)
            node = node[at]
        else:
            break
    return found
