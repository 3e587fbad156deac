"""Stacks that share a machine share no port."""

import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from deploy.ray import own
from serving.errors import ConfigError

STATS = "RAY_SERVE_HAPROXY_STATS_PORT"


@pytest.fixture
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(own, "FIRST", 12_000)  # below the blocks of stacks that run now
    monkeypatch.setattr(own, "BLOCKS", 2)
    return 12_000


def listening(port: int) -> closing[socket.socket]:
    return closing(socket.create_server(("0.0.0.0", port)))


def test_each_has_a_block_of_its_own(two_blocks: int) -> None:
    with own.own_flags() as one, own.own_flags() as other:
        assert one[STATS] != other[STATS]
        with pytest.raises(ConfigError, match="no 200 ports"), own.own_flags():
            pass


def test_a_block_in_which_anybody_listens_is_passed_over(two_blocks: int) -> None:
    """Such as an HAProxy that outlived its stack."""
    with listening(two_blocks + own.BLOCK - 1):
        for _ in range(5):
            with own.own_flags() as flags:
                assert int(flags[STATS]) == two_blocks + 2 * own.BLOCK - 1


def test_an_haproxy_on_its_files_does_not_outlive_it(two_blocks: int) -> None:
    with own.own_flags() as flags:
        config = flags["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]
        wait = "import time; time.sleep(60)"
        # By another program, with HAProxy's name and its arguments.
        proxy, other = (
            subprocess.Popen([name, "-c", wait, "-f", config], executable=sys.executable)
            for name in ("/usr/sbin/haproxy", "python")
        )
    try:
        assert proxy.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
