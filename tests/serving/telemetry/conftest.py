"""Fixtures: a directory for the metrics of several processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import values


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """An empty one; the files that this process maps from it are let go of at the end."""
    yield tmp_path / "metrics"
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]  # comes without types
