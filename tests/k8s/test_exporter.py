"""A pod's exporter tells what its other processes count."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from k8s.exporter import server
from serving.telemetry.processes import Processes

COUNT = """
import sys
from pathlib import Path
from serving.telemetry.metrics import Metrics
metrics = Metrics(multiprocess_dir=Path(sys.argv[1]), role="tier")
metrics.tier_running.labels("a").inc()
metrics.semantic
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Path]:
    """A folder in which another process counts."""
    with subprocess.Popen(
        [sys.executable, "-c", COUNT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        yield tmp_path
        other.communicate()


@pytest.fixture
def url(counting: Path) -> Iterator[str]:
    processes = Processes(counting, "exporter")
    with server(processes, "127.0.0.1", 0) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()
    processes.close()


def test_it_tells_what_another_process_counts(url: str) -> None:
    answer = httpx2.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert 'stepwell_tier_running{tier="a"} 1.0' in answer.text


def test_nothing_else_is_there(url: str) -> None:
    assert httpx2.get(f"{url}/").status_code == 404
