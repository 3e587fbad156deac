"""Sums of processes that are gone, added up so that each is counted exactly once.

A crash at any point leaves either the old files or, from the moment the plan has its name, a plan
that the next one carries out. Carrying it out twice is the same as once.
"""

import json
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import mmap_dict

SUMMED = ("counter", "histogram")
"""Kinds of files whose values add up; a gauge ends with its process."""

PLAN = "archive.plan"
UNREADABLE = (OSError, RuntimeError, ValueError, struct.error)
"""What reading a file raises that a crash or a full disk has left half made."""

_MAPPED: Any = mmap_dict.MmapedDict  # comes without types

_log = structlog.get_logger("stepwell.telemetry")


def archive(directory: Path, files: Sequence[Path], *, also_delete: Iterable[Path]) -> None:
    """Moves the values of `files`, none of which anybody writes any more, into the archives. Where
    the disk has no room for that, all stays as it is. Call it with the directory locked.
    """
    delete = [*files, *also_delete]
    try:
        for kind in SUMMED:
            _add_up(directory, kind, [f for f in files if f.name.startswith(f"{kind}_")])
        _commit(directory, [file.name for file in delete])
    except OSError as error:
        _log.error("metrics_not_archived", error=str(error))
        return
    recover(directory)


def recover(directory: Path) -> None:
    """Carries out a plan that was made, or forgets what was not planned to its end."""
    plan = directory / PLAN
    if plan.exists():
        for kind in SUMMED:
            new = directory / f"{kind}_archive.new"
            if new.exists():
                new.replace(directory / f"{kind}_archive.db")
        for name in json.loads(plan.read_bytes()):
            (directory / name).unlink(missing_ok=True)
        plan.unlink()
    for name in (*(f"{kind}_archive.new" for kind in SUMMED), f"{PLAN}.tmp"):
        (directory / name).unlink(missing_ok=True)


def readable(files: Iterable[Path]) -> list[Path]:
    """Those files that can be read to their end; the others are named in the log."""
    return [file for file in files if _values(file) is not None]


def _values(file: Path) -> list[tuple[str, float]] | None:
    """Keys and values; None where there are none or the file cannot be read."""
    try:
        if file.stat().st_size == 0:  # its process died before it had a size
            return None
        found = _MAPPED.read_all_values_from_file(str(file))
        return [(key, value) for key, value, _, _ in found]
    except UNREADABLE as error:
        _log.error("metrics_file_unreadable", file=file.name, error=type(error).__name__)
        return None


def _add_up(directory: Path, kind: str, files: Sequence[Path]) -> None:
    """Writes the archive as it will be, beside the one that is."""
    sums: defaultdict[str, float] = defaultdict(float)
    for file in (directory / f"{kind}_archive.db", *files):
        for key, value in (_values(file) if file.exists() else None) or ():
            sums[key] += value
    new = directory / f"{kind}_archive.new"
    # The room is taken first: a mapped file that outgrows the disk would kill the process.
    with new.open("xb") as room:
        os.posix_fallocate(room.fileno(), 0, 8 + sum(len(key.encode()) + 32 for key in sums))
    kept = _MAPPED(str(new))
    for key, value in sums.items():
        kept.write_value(key, value, 0.0)
    kept.close()


def _commit(directory: Path, names: Sequence[str]) -> None:
    draft = directory / f"{PLAN}.tmp"
    draft.write_text(json.dumps(names))
    draft.replace(directory / PLAN)
