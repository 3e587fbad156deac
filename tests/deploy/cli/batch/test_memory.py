"""The size of a file does not show in the memory of who sends it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.configs import ladder
from tests.e2e.stack import running

LARGE = 30_000_000
LINE_CHARS = 2_000
ALLOWED_KB = 16_000

# Of the process itself: `getrusage` would count what its parent once held.
RUN = """
import pathlib, sys
from deploy.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as done:
    assert not done.code
status = pathlib.Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


def peak_kb(url: str, source: Path) -> int:
    """Of a process that sends this file and does not wait."""
    arguments = ["batch", "run", str(source), "--no-wait", "--url", url]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_large_file_is_checked_and_sent_in_little_memory(tmp_path: Path) -> None:
    line = json.dumps({"text": "x" * LINE_CHARS}) + "\n"
    small, large = tmp_path / "small.jsonl", tmp_path / "large.jsonl"
    small.write_text(line)
    large.write_text(line * (LARGE // len(line)))
    batch = {"enabled": True, "worker": False}
    with running(ladder(batch=batch), tmp_path) as stack:
        assert peak_kb(stack.url, large) - peak_kb(stack.url, small) < ALLOWED_KB
