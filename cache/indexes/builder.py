"""The thread in which large scopes are built and rebuilt."""

import threading
from collections import OrderedDict
from typing import Protocol

import structlog

_log = structlog.get_logger("stepwell.cache")


class Work(Protocol):
    @property
    def due(self) -> bool:
        """Whether there is something to do."""
        ...

    def advance(self) -> None:
        """Does some of it, for a second at most where the kind of index allows."""

    def failed(self) -> None:
        """It raised; nothing is due for a while."""


class Builder:
    """Starts its thread with the first work, and gives works their turns."""

    def __init__(self) -> None:
        self._works: OrderedDict[int, Work] = OrderedDict()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._closed = False

    def advance(self, work: Work) -> None:
        """Returns at once."""
        with self._change:
            if self._closed:
                return
            self._works[id(work)] = work
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="semantic-index-builder", daemon=True
                )
                self._thread.start()
            self._change.notify_all()

    def settle(self) -> None:
        """Blocks until nothing is left to do."""
        with self._change:
            self._change.wait_for(lambda: self._closed or not (self._works or self._busy))

    def close(self) -> None:
        """Waits for the turn that runs."""
        with self._change:
            self._closed = True
            self._works.clear()
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work.advance()
                again = work.due
            except Exception as error:  # what is not in a graph is compared: right, but slower
                _log.error("index_not_built", error=f"{type(error).__name__}: {error}")
                work.failed()
                again = False
            with self._change:
                self._busy = False
                if again and not self._closed:
                    self._works[id(work)] = work
                self._change.notify_all()

    def _next(self) -> Work | None:
        with self._change:
            self._change.wait_for(lambda: self._closed or bool(self._works))
            if self._closed:
                return None
            self._busy = True
            return self._works.popitem(last=False)[1]
