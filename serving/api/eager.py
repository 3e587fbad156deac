"""Work that is begun at once, so that what needs no waiting (a cached answer) needs no watch, no
timer and no task either.
"""

from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """Runs `work` to its first wait, in the caller's task; what it raises by then is raised here.
    Where it is not `done`, await it for the rest, in the same task and before any other wait.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._pending: Any = None
        self._result: list[T] = []
        try:
            self._pending = work.send(None)
        except StopIteration as end:
            self._result.append(end.value)

    @property
    def done(self) -> bool:
        return bool(self._result)

    @property
    def result(self) -> T:
        """Of work that is done."""
        return self._result[0]

    def __await__(self) -> Generator[Any, Any, T]:
        while not self._result:
            try:
                sent = yield self._pending
            except BaseException as error:
                step = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, sent)
            try:
                self._pending = step()
            except StopIteration as end:
                self._result.append(end.value)
        return self._result[0]
