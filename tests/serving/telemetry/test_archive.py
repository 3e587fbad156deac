"""Sums of processes that are gone are counted once, whenever the archiving is cut short."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import mmap_dict

from serving.telemetry.archive import PLAN, archive, readable, recover


def write(file: Path, **numbers: float) -> Path:
    mapped: Any = mmap_dict.MmapedDict
    made = mapped(str(file))
    for key, value in numbers.items():
        made.write_value(key, value, 0.0)
    made.close()
    return file


def read(file: Path) -> dict[str, float]:
    mapped: Any = mmap_dict.MmapedDict
    return {k: v for k, v, _, _ in mapped.read_all_values_from_file(str(file))}


def total(directory: Path) -> dict[str, float]:
    """What a scrape would add up."""
    sums: dict[str, float] = {}
    for file in directory.glob("*.db"):
        for key, value in read(file).items():
            sums[f"{file.name.partition('_')[0]} {key}"] = (
                sums.get(f"{file.name.partition('_')[0]} {key}", 0) + value
            )
    return sums


def two_dead(directory: Path) -> list[Path]:
    return [
        write(directory / "counter_a.db", x=1, y=2),
        write(directory / "counter_b.db", x=10),
        write(directory / "histogram_a.db", h=5),
        write(directory / "gauge_livesum_a.db", g=7),
    ]


def test_sums_add_up_and_gauges_end(tmp_path: Path) -> None:
    files = two_dead(tmp_path)
    (tmp_path / "a.alive").touch()
    archive(tmp_path, files, also_delete=[tmp_path / "a.alive"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "counter_archive.db",
        "histogram_archive.db",
    ]
    assert read(tmp_path / "counter_archive.db") == {"x": 11, "y": 2}
    assert read(tmp_path / "histogram_archive.db") == {"h": 5}
    archive(tmp_path, [write(tmp_path / "counter_c.db", x=100)], also_delete=[])
    assert read(tmp_path / "counter_archive.db") == {"x": 111, "y": 2}
    assert read(tmp_path / "histogram_archive.db") == {"h": 5}


def test_many_long_keys_fit(tmp_path: Path) -> None:
    numbers = {f"{'k' * (i % 40)}é{i}": float(i) for i in range(3_000)}
    archive(tmp_path, [write(tmp_path / "counter_a.db", **numbers)], also_delete=[])
    assert read(tmp_path / "counter_archive.db") == numbers


class Crash(BaseException):
    """The process ends here."""


def crashing(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """The step `at` of those that change the set of files does not happen; returns how many did."""
    steps = 0

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            nonlocal steps
            if steps == at:
                raise Crash
            steps += 1
            return real(*args, **named)

        return step

    for name in ("replace", "unlink", "write_text"):
        monkeypatch.setattr(Path, name, wrap(getattr(Path, name)))
    monkeypatch.setattr(os, "posix_fallocate", wrap(os.posix_fallocate))
    return lambda: steps


@pytest.mark.parametrize("at", range(14))
def test_a_crash_at_any_step_loses_and_doubles_nothing(tmp_path: Path, at: int) -> None:
    archive(tmp_path, [write(tmp_path / "counter_z.db", x=1_000)], also_delete=[])
    files = two_dead(tmp_path)
    expected = {"counter x": 1_011, "counter y": 2, "histogram h": 5}
    with pytest.MonkeyPatch.context() as patch:
        steps = crashing(patch, at)
        with pytest.raises(Crash):
            archive(tmp_path, files, also_delete=[])
        assert steps() == at
    recover(tmp_path)
    found = total(tmp_path)
    assert {k: found[k] for k in expected} == expected
    assert not (tmp_path / PLAN).exists()
    left = [f for f in files if f.exists()]
    assert left in ([], files)
    archive(tmp_path, left, also_delete=[])
    assert total(tmp_path) == expected


def test_a_full_disk_leaves_all_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = two_dead(tmp_path)
    before = total(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        archive(tmp_path, files, also_delete=[])
    assert total(tmp_path) == before
    recover(tmp_path)
    archive(tmp_path, files, also_delete=[])
    assert read(tmp_path / "counter_archive.db") == {"x": 11, "y": 2}


def test_readable(tmp_path: Path) -> None:
    good = write(tmp_path / "counter_a.db", x=1)
    empty, cut = tmp_path / "counter_b.db", tmp_path / "counter_c.db"
    empty.touch()
    cut.write_bytes(struct.pack("ii", 4_000, 0) + struct.pack("i", 5_000))
    assert readable([good, empty, cut]) == [good]
