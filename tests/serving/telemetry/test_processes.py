"""One answer for the metrics of all processes on a node."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from serving.errors import ConfigError, Overloaded
from serving.telemetry import directory as directories
from serving.telemetry.directory import MetricsDirectory
from serving.telemetry.metrics import Metrics
from tests.serving.telemetry.test_metrics import CALL, attempt

ROOT = Path(__file__).parents[3]

REPLICA = """
import sys
from pathlib import Path
from serving.telemetry.metrics import Metrics
from tests.serving.telemetry.test_metrics import CALL, attempt

metrics = Metrics(["acme"], multiprocess_dir=Path(sys.argv[1]), role=sys.argv[2])
for line in sys.stdin:
    for _ in range(int(line)):
        metrics.observe_attempt(attempt(), CALL)
        metrics.observe_request("/v1/x", 200, 0.2)
    metrics.in_flight.inc()
    print("counted", flush=True)
"""


class Replica:
    """A process of its own that counts when told to."""

    def __init__(self, directory: Path, role: str, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, str(directory), role],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def count(self, times: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "counted\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def replica(directory: Path, role: str = "gateway", script: str = REPLICA) -> Iterator[Replica]:
    started = Replica(directory, role, script)
    try:
        yield started
    finally:
        started.kill()


@contextmanager
def answering(directory: Path) -> Iterator[Metrics]:
    metrics = Metrics(["acme"], multiprocess_dir=directory)
    try:
        yield metrics
    finally:
        metrics.close()


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels."""
    text = metrics.render()[0].decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in found
            found[key] = sample.value
    return found


REQUESTS = "stepwell_requests_total{endpoint=/v1/x,status=200}"
SECONDS_UP_TO = "stepwell_request_seconds_bucket{{endpoint=/v1/x,le={}}}"
SECONDS = "stepwell_request_seconds_count{endpoint=/v1/x}"
IN_FLIGHT = "stepwell_requests_in_flight{}"


def test_any_process_answers_for_all(directory: Path) -> None:
    with answering(directory) as here, replica(directory) as a, replica(directory, "egress") as b:
        a.count(2)
        b.count(3)
        here.observe_request("/v1/x", 200, 20.0)
        found = samples(here)
        assert (found[REQUESTS], found[SECONDS], found[IN_FLIGHT]) == (6, 6, 2)
        assert found[SECONDS_UP_TO.format("0.1")] == 0
        assert found[SECONDS_UP_TO.format("0.25")] == 5
        assert found[SECONDS_UP_TO.format("+Inf")] == 6
        memory = [k for k in found if k.startswith("process_resident_memory_bytes{")]
        assert sorted(re.sub(r"\d+", "", k.partition("{")[2]) for k in memory) == [
            "pid=,role=egress}",
            "pid=,role=gateway}",
            "pid=,role=gateway}",
        ]
        assert all(found[k] > 1_000_000 for k in memory)


def test_a_killed_replicas_sums_stay_and_what_it_had_under_way_goes(directory: Path) -> None:
    with answering(directory) as here, replica(directory) as a, replica(directory) as b:
        a.count(100)
        b.count(1)
        before = samples(here)
        assert (before[REQUESTS], before[IN_FLIGHT]) == (101, 2)
        a.kill()
        after = samples(here)
        assert after[IN_FLIGHT] == 1
        for found in (before, after):
            del found[IN_FLIGHT]
        own = {k: v for k, v in after.items() if k.startswith("stepwell_")}
        assert own == {k: pytest.approx(v) for k, v in before.items() if k.startswith("stepwell_")}
        assert len([k for k in after if k.startswith("process_open_fds{")]) == 2
        b.count(1)
        assert samples(here)[REQUESTS] == 102


def test_what_it_says_is_what_one_process_says(directory: Path) -> None:
    """Names, types and help are the same; only times of creation are left out."""
    with answering(directory) as here:
        alone = Metrics(["acme"])
        for metrics in (here, alone):
            metrics.observe_attempt(attempt(), CALL)
            metrics.observe_request("/v1/x", 200, 0.2)
        kinds = [
            {
                (f.name, f.type, f.documentation)
                for f in text_string_to_metric_families(m.render()[0].decode())
                if any(s.name.startswith("stepwell_") for s in f.samples)
                and not f.name.endswith("_created")
            }
            for m in (here, alone)
        ]
        assert kinds[0] == kinds[1]
        body, content_type = here.render("application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")


def test_files_do_not_pile_up(directory: Path) -> None:
    for i in range(20):
        with answering(directory) as one:
            one.observe_request("/v1/x", 200, 0.2)
            assert samples(one)[REQUESTS] == i + 1
    assert len(list(directory.iterdir())) <= 8


def test_what_is_counted_after_the_end_goes_nowhere(directory: Path) -> None:
    with answering(directory) as one:
        one.observe_request("/v1/x", 200, 0.2)
    with answering(directory) as two:
        one.observe_request("/v1/x", 200, 0.2)
        one.observe_request("/v1/y", 200, 0.2)
        assert samples(two)[REQUESTS] == 1
    one.close()


def test_the_end_gives_the_library_back(directory: Path) -> None:
    before = values.ValueClass
    with answering(directory):
        assert values.ValueClass is not before
        assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(directory)
    assert values.ValueClass is before
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    alone = Metrics()
    alone.observe_request("/v1/x", 200, 0.2)
    assert b'stepwell_requests_total{endpoint="/v1/x",status="200"} 1.0' in alone.render()[0]


def test_scrapes_while_processes_come_go_and_count(directory: Path) -> None:
    """Each scraper sees sums only grow, whoever moves them to the archive meanwhile."""
    seen: tuple[list[float], list[float]] = ([], [])
    done = threading.Event()
    with answering(directory) as here:
        here.observe_request("/v1/x", 200, 0.2)

        def scrape(into: list[float]) -> None:
            while not done.is_set():
                into.append(samples(here)[REQUESTS])

        threads = [threading.Thread(target=scrape, args=[into]) for into in seen]
        for thread in threads:
            thread.start()
        for _ in range(3):
            with replica(directory) as other:
                other.count(50)
        done.set()
        for thread in threads:
            thread.join()
        last = samples(here)[REQUESTS]
    assert last == 151
    for growing in seen:
        assert len(growing) > 5
        assert growing == sorted(growing)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\xff\xff\x00\x00" + b"\x00" * 5_000])
def test_a_file_that_cannot_be_read_hides_no_other(directory: Path, content: bytes) -> None:
    with answering(directory) as one:
        one.observe_request("/v1/x", 200, 0.2)
        mine = next(directory.glob("histogram_*.db"))
        broken = directory / f"counter_{'0' * 32}.db"
        broken.write_bytes(content)
        assert samples(one)[REQUESTS] == 1
        assert not broken.exists()  # nobody alive writes it
        next(directory.glob("counter_archive.db")).write_bytes(content)
        assert samples(one)[REQUESTS] == 1
        mine.write_bytes(content)
        assert samples(one)[REQUESTS] == 1


def test_other_files_are_nobodys_business(directory: Path) -> None:
    directory.mkdir()
    others = ["stepwell.db", "counter_notes.db", "x.new", "y.tmp"]
    for name in others:
        (directory / name).write_text("mine")
    with answering(directory) as one:
        one.render()
    MetricsDirectory(directory).clear()
    assert sorted(p.name for p in directory.iterdir()) == sorted([".lock", *others])


def test_a_new_run_starts_from_zero_unless_somebody_still_runs(directory: Path) -> None:
    with answering(directory) as one:
        one.observe_request("/v1/x", 200, 0.2)
        MetricsDirectory(directory).clear()
        assert samples(one)[REQUESTS] == 1
    MetricsDirectory(directory).clear()
    with answering(directory) as two:
        assert REQUESTS not in samples(two)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"metrics cannot be kept there: Not a directory"):
        Metrics(multiprocess_dir=tmp_path / "file" / "metrics")


def test_a_full_disk_is_found_at_the_start(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigError, match="No space left on device; choose a data directory"):
        Metrics(multiprocess_dir=directory)
    assert [p.name for p in directory.iterdir()] == [".lock"]
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_lock_that_stays_held_is_no_endless_wait(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(directory) as one:
        monkeypatch.setattr(directories, "LOCK_TIMEOUT_S", 0.05)
        with MetricsDirectory(directory).locked(), pytest.raises(Overloaded) as busy:
            one.render()
        assert busy.value.code == "metrics_busy"
        one.render()


MEMORY = """
import sys
from pathlib import Path
from serving.telemetry.metrics import Metrics

metrics = Metrics(multiprocess_dir=Path(sys.argv[1]), role=sys.argv[2]).semantic
for line in sys.stdin:
    metrics.cut("faq", float(line))
    metrics.rate("faq", estimate=0.25, low=0.0, high=0.5)
    metrics.size(3, 100)
    print("counted", flush=True)
"""


def test_of_two_memories_the_later_ones_cut_and_rate_hold(directory: Path) -> None:
    """They must not be added up while one takes over from the other."""
    with answering(directory) as here, replica(directory, "old", MEMORY) as old:
        old.count(3)
        with replica(directory, "new", MEMORY) as new:
            new.count(2)
            found = samples(here)
    assert found["stepwell_semantic_cut{task=faq}"] == 2
    assert found["stepwell_semantic_false_hit_rate{bound=estimate,task=faq}"] == 0.25
    assert found["stepwell_semantic_entries{}"] == 6
