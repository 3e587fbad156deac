"""What this machine has."""

from pathlib import Path

import psutil
import pytest

from deploy.cli import hardware
from deploy.cli.hardware import this_host


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_gpus_as_nvidia_smi_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, monkeypatch, "printf '143771\\n24564\\n'")
    assert this_host().gpus == pytest.approx((137.6, 23.5), abs=0.05)


@pytest.mark.parametrize("script", ["exit 9", "echo no devices were found", "exec sleep 60"])
def test_an_nvidia_smi_that_does_not_answer_is_no_gpu(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "TIMEOUT_S", 0.2)
    nvidia_smi(tmp_path, monkeypatch, script)
    assert this_host().gpus == ()


def test_no_nvidia_smi_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert this_host().gpus == ()


def test_memory_is_the_machines_or_less_in_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "NODES", str(tmp_path))
    monkeypatch.setattr(hardware, "CGROUPS", (str(tmp_path / "none"),))
    assert this_host().memory_gib == pytest.approx(psutil.virtual_memory().total / 2**30)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(hardware, "CGROUPS", (str(limit),))
    limit.write_text(f"{2**29}\n", "ascii")
    assert this_host().memory_gib == 0.5
    limit.write_text("max\n", "ascii")
    assert this_host().memory_gib == pytest.approx(psutil.virtual_memory().total / 2**30)


def test_a_machine_of_several_nodes_has_the_memory_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "NODES", str(tmp_path))
    monkeypatch.setattr(hardware, "CGROUPS", ())
    for node, size in ((0, 524_288), (1, 1_048_576), (2, 0)):
        (tmp_path / f"node{node}").mkdir()
        line = f"Node {node} MemTotal:       {size} kB\nNode {node} MemFree: 1 kB\n"
        (tmp_path / f"node{node}" / "meminfo").write_text(line, "ascii")
    assert this_host().memory_gib == 0.5
