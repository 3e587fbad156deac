"""What this machine has: its GPUs and the memory that a process may take."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from serving.engines.vllm.memory import GIB, MIB
from serving.engines.vllm.sizing import Host

QUERY = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")
TIMEOUT_S = 10.0
FOR_PROGRAMS = 0.98
"""Of the memory that nvidia-smi names, what CUDA gives to programs."""
NODES = "/sys/devices/system/node"
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def this_host() -> Host:
    """As `nvidia-smi` and the kernel say; what they don't is left out."""
    return Host(gpus=_gpus(), memory_gib=_memory())


def _gpus() -> tuple[float, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        done = subprocess.run(  # noqa: S603 - what PATH calls nvidia-smi, with fixed arguments
            [command, *QUERY], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
        )
        return tuple(int(line) * FOR_PROGRAMS * MIB / GIB for line in done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()


def _memory() -> float | None:
    """The machine's memory, or where it is less, the container's or that of one NUMA node: vLLM
    binds a worker on a CPU to one.
    """
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (OSError, ValueError):
        return None
    for name in CGROUPS:
        try:
            found.append(int(Path(name).read_text("ascii")))
        except (OSError, ValueError):
            continue
    return min([*found, *_nodes()]) / GIB


def _nodes() -> Iterator[int]:
    """Bytes of each NUMA node that has any, where the kernel names them."""
    for path in Path(NODES).glob("node*/meminfo"):
        total = re.search(r"MemTotal:\s+(\d+) kB", path.read_text("ascii"))
        if total is not None and total[1] != "0":
            yield int(total[1]) * 1024
