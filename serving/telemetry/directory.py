"""The directory in which the processes of one node keep their metrics, each in files of its own.

    <identity>.alive                     held locked as long as the process lives
    counter_<identity>.db, histogram_…   its sums, mapped into memory by prometheus_client
    gauge_livesum_<identity>.db          what it has under way; gone with it
    counter_archive.db, histogram_…      the sums of processes that are gone

An identity is never used twice, so a file that is seen dead stays dead, whoever gets its process id
next. Whoever changes the set of files holds `.lock`.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from serving.errors import ConfigError
from serving.telemetry.archive import archive, recover

LOCK_TIMEOUT_S = 5.0
KINDS = ("counter", "histogram", "gauge_livesum")
_FILE = re.compile(r"(?:counter|histogram|summary|gauge_[a-z]+)_([0-9a-f]{32}|archive)\.db")
RESERVED_BYTES = 1 << 20
"""Of disk per file, taken at the start: writing to a mapped file for which the disk has no room
kills the process. It holds some 4,000 series; the labels are bounded well below."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that has metrics here; `role` says what it does."""

    identity: str
    pid: int
    role: str


class MetricsDirectory:
    """`ConfigError` where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / ".lock").touch(mode=0o600)
        except OSError as error:
            raise _unwritable(path, error) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all processes; `TimeoutError` where another one does not let go."""
        with (self.path / ".lock").open("r+") as lock:
            give_up = time.monotonic() + LOCK_TIMEOUT_S
            while not _try_lock(lock.fileno()):
                if time.monotonic() > give_up:
                    raise TimeoutError(f"{self.path} stays locked")
                time.sleep(0.002)
            recover(self.path)
            yield

    def join(self, process: Process) -> int:
        """Makes the process's files; returns the descriptor that marks it alive until closed."""
        try:
            with self.locked():
                self.bury()
                return self._make_files(process)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def clear(self) -> None:
        """Forgets all that processes of the past have counted, unless one of them still lives.
        For the start of a run, so that its counters begin at zero and old labels go.
        """
        with self.locked():
            if not self.living():
                for file in (*self.files(), *self.path.glob("*.alive")):
                    file.unlink()

    def files(self) -> list[Path]:
        """All values, of the living and the dead, in a fixed order. Call it locked."""
        return sorted(file for file in self.path.iterdir() if _FILE.fullmatch(file.name))

    def living(self) -> list[Process]:
        """The processes that are alive, in no order. Call it locked."""
        return [_read(file) for file in self.path.glob("*.alive") if not _dead(file)]

    def bury(self) -> None:
        """Adds up the sums of the dead in one file per kind, so that neither a sum is lost nor the
        number of files grows. Call it locked.
        """
        dead = [file for file in self.path.glob("*.alive") if _dead(file)]
        staying = {"archive", *(process.identity for process in self.living())}
        files = [file for file in self.files() if _identity(file) not in staying]
        if dead or files:
            archive(self.path, files, also_delete=dead)

    def _make_files(self, process: Process) -> int:
        alive = os.open(
            self.path / f"{process.identity}.alive", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600
        )
        made = [self.path / f"{kind}_{process.identity}.db" for kind in KINDS]
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)
            os.write(alive, json.dumps([process.identity, process.pid, process.role]).encode())
            for file in made:
                with file.open("xb") as new:
                    os.posix_fallocate(new.fileno(), 0, RESERVED_BYTES)
        except BaseException:
            os.close(alive)
            for file in (*made, self.path / f"{process.identity}.alive"):
                file.unlink(missing_ok=True)
            raise
        return alive


def _identity(file: Path) -> str:
    """Of `counter_<identity>.db`."""
    return file.stem.rpartition("_")[2]


def _read(file: Path) -> Process:
    identity, pid, role = json.loads(file.read_bytes())
    return Process(identity, pid, role)


def _dead(file: Path) -> bool:
    """Whether nobody holds the file any more; the kernel lets go of a lock with its process."""
    with file.open("rb") as marked:
        return _try_lock(marked.fileno())


def _try_lock(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: metrics cannot be kept there: {error.strerror or error}; choose a data directory"
        " that this user may write and that has room, with STEPWELL_DATA_DIR"
    )
