"""Batches are worked off by a replica of their own on Ray Serve, which gateways only take in."""

from pathlib import Path

import pytest

from deploy.ray.batch import NICENESS
from tests.e2e.configs import ladder
from tests.e2e.test_hosted_batches import AT_ONCE, FAST, answered, line
from tests.ray.stack import running

pytest.importorskip("ray", reason="these tests need the extra `ray`")


def niceness(pid: int) -> set[int]:
    """Of all threads of the process."""
    stats = [s.read_text() for s in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {int(stat.rpartition(")")[2].split()[16]) for stat in stats}


def test_lines_survive_the_replica_that_answers_them(tmp_path: Path) -> None:
    config = ladder(batch={**FAST, "lease_s": 2, "files_dir": str(tmp_path / "files")})
    for tier in config["tiers"]:
        if tier["backend"]["engine"] == "anthropic":
            tier["backend"]["emulator_batches"] = AT_ONCE
    lines = [line(f"c{i}", f"What is {i} + 4?", "sonnet") for i in range(5)]
    lines += [line(f"l{i}", f"What is {i} + 5?") for i in range(5)]
    with running(config, tmp_path, gateways=2) as stack:
        (replica,) = stack.replicas("batch")
        assert NICENESS in niceness(replica.pid)
        assert NICENESS not in niceness(stack.replicas("gateway")[0].pid)
        _, found = answered(stack, lines)
        assert {response["status_code"] for response in found.values()} == {200}
        assert len(found) == len(lines)
        rows = stack.rows("SELECT tier, service FROM attempts WHERE tier = 'sonnet'", wait=1.0)
        assert [row["service"] for row in rows] == ["batch"] * 5
        stack.kill_one("batch")
        _, again = answered(stack, [line("x", "What is 1 + 4?"), line("y", "Hi", "sonnet")])
        assert {response["status_code"] for response in again.values()} == {200}
