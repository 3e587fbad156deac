"""Which keys a place in the settings tree allows, read off the models."""

import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at `loc`, a pydantic error location (list indices and union tags included);
    empty where that place is no model.
    """
    here: Any = model
    for step in loc:
        here = _step(here, step)
    if not _is_model(here):
        return []
    return [f.alias or name for name, f in here.model_fields.items()]


def _step(here: Any, step: int | str) -> Any:
    here = _bare(here)
    if _is_model(here):
        fields = here.model_fields
        named = fields.get(step) or next((f for f in fields.values() if f.alias == step), None)
        return named.annotation if named is not None else None
    members = get_args(here)
    if get_origin(here) in (Union, types.UnionType):
        return next((m for m in members if _is_model(_bare(m)) and _tagged(_bare(m), step)), None)
    if get_origin(here) is dict:
        return members[1]
    return members[0] if members else None


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    members = [m for m in get_args(annotation) if m is not type(None)]
    if get_origin(annotation) in (Union, types.UnionType) and len(members) == 1:
        return _bare(members[0])
    return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _tagged(model: type[BaseModel], tag: int | str) -> bool:
    literals = [f.annotation for f in model.model_fields.values()]
    return any(get_origin(a) is Literal and tag in get_args(a) for a in literals)
