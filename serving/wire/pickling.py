"""Cheaper pickles of the values that cross between processes by the thousand."""

from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def by_values(cls: type[T]) -> type[T]:
    """For frozen dataclasses with slots, whose fields are all given to `__init__`: they are pickled
    as the class and its values in order. What `dataclass` makes by itself asks for its fields one
    by one, in Python, on both sides: two and a half times as long for an answer with logprobs.
    """
    names = tuple(field.name for field in fields(cls))  # type: ignore[arg-type]  # a dataclass

    def reduce(self: Any) -> tuple[type[T], tuple[Any, ...]]:
        return cls, tuple([getattr(self, name) for name in names])

    cls.__reduce__ = reduce  # type: ignore[method-assign]
    return cls
