"""Many mixed requests through the mock stack on Ray: nothing is lost, and memory stays flat.

    python -m tests.bench.soak [--requests 50000] [--json OUT]

The mock configuration without its waits, two gateways. Requests are the demo's kinds (questions
with repeats and paraphrases, extraction, classification, code, maths, tools, critical ones, long
documents), each batch made from another seed. Resident memory of every replica is read each
second; the slope is that of a straight line through the second half of a replica's readings, when
its caches are full.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from deploy.cli.demo.requests import demo_requests
from deploy.paths import default_config
from tests.e2e.test_replay import without_waiting
from tests.ray.stack import RayStack, running

BATCH = 300
CONCURRENCY = 32
EVERY_S = 1.0
MIB = 2**20
ROLE = re.compile(r"ServeReplica:stepwell:([\w-]+)")
Readings = dict[str, list[tuple[int, float]]]
"""Per replica: requests done by then, and resident MiB."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepwell-soak-") as name:
        folder = Path(name)
        lines = _write(folder / "requests.jsonl", options.requests)
        config = without_waiting(YAML(typ="safe").load(default_config()))
        with running(config, folder, gateways=2) as stack:
            readings, counted = _soak(stack, lines, folder)
            ledger = stack.rows(
                "SELECT count(DISTINCT request_id) AS requests, count(*) AS rows,"
                " sum(outcome IN ('open', 'intent')) AS unsettled FROM attempts",
                wait=2,
            )[0]
    slopes = {role: _slope(values) for role, values in readings.items()}
    _show(counted, ledger, readings, slopes)
    if options.json is not None:
        figures = {"counted": counted, "ledger": ledger, "mib_per_10k": slopes}
        options.json.write_text(json.dumps(figures, indent=2))
    lost = counted["requests"] - counted["answered"]
    return 1 if lost or ledger["unsettled"] or ledger["requests"] != counted["requests"] else 0


def _write(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for seed in range(-(-count // BATCH)):
            for body in demo_requests(min(BATCH, count - seed * BATCH), seed):
                file.write(json.dumps(body) + "\n")
    return path


def _soak(stack: RayStack, lines: Path, folder: Path) -> tuple[Readings, dict[str, Any]]:
    out = folder / "out.json"
    command = [sys.executable, "-m", "deploy.cli", "replay", str(lines), "--url", stack.url]
    command += ["--concurrency", str(CONCURRENCY), "--json", str(out)]
    replicas = _replicas(stack)
    readings: Readings = defaultdict(list)
    done = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as client:
        while client.poll() is None:
            time.sleep(EVERY_S)
            done = int(stack.metric("stepwell_requests_total", endpoint="/v1/chat/completions"))
            for role, process in replicas.items():
                readings[role].append((done, process.memory_info().rss / MIB))
    counted: dict[str, Any] = json.loads(out.read_text())
    return readings, counted


def _replicas(stack: RayStack) -> dict[str, psutil.Process]:
    found: dict[str, psutil.Process] = {}
    for process in psutil.Process(stack.server).children(recursive=True):
        match = ROLE.search(" ".join(process.cmdline()))
        if match is not None:
            found[f"{match[1]} {process.pid}"] = process
    return found


def _slope(values: list[tuple[int, float]]) -> float:
    """MiB per 10,000 requests."""
    half = values[len(values) // 2 :]
    line = statistics.linear_regression([done for done, _ in half], [mib for _, mib in half])
    return round(line.slope * 10_000, 3)


def _show(
    counted: dict[str, Any], ledger: dict[str, Any], readings: Readings, slopes: dict[str, float]
) -> None:
    console = Console()
    table = Table("replica", "MiB first", "MiB half-way", "MiB last", "MiB per 10,000 requests")
    for role, values in sorted(readings.items()):
        mib = [m for _, m in values]
        figures = [mib[0], mib[len(mib) // 2], mib[-1]]
        table.add_row(role, *[f"{f:.1f}" for f in figures], f"{slopes[role]:+.2f}")
    console.print(table)
    rate = counted["requests"] / counted["elapsed_s"]
    console.print(
        f"requests {counted['requests']}, answered {counted['answered']}, errors"
        f" {counted['errors']}, {rate:.0f}/s (simulated tiers)\nledger: {ledger['requests']}"
        f" requests in {ledger['rows']} rows, {ledger['unsettled'] or 0} unsettled"
    )


if __name__ == "__main__":
    sys.exit(main())
