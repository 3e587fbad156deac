"""Alert rules, and dashboards' queries as if they were rules, read by Prometheus' own tool."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from k8s.checks.findings import Finding, Manifest, Skipped, named, of_kind

CHECK = "rules"
TIMEOUT_S = 60
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


def check(manifests: list[Manifest]) -> list[Finding]:
    """What promtool refuses. `Skipped` without it."""
    promtool = shutil.which("promtool")
    if promtool is None:
        raise Skipped("there is no promtool here (Debian's package prometheus has it)")
    found = []
    for where, spec in _files(manifests):
        with tempfile.TemporaryDirectory(prefix="stepwell-") as folder:
            file = Path(folder) / "rules.yaml"
            YAML(typ="safe", pure=True).dump(spec, file)
            done = subprocess.run(  # noqa: S603 - a fixed program on a file of ours
                [promtool, "check", "rules", str(file)],
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        if done.returncode != 0:
            found.append(Finding(CHECK, where, (done.stderr or done.stdout).strip()))
    return found


def _files(manifests: list[Manifest]) -> list[tuple[str, dict[str, Any]]]:
    found = [(named(m), m["spec"]) for m in of_kind(manifests, "PrometheusRule")]
    for manifest in of_kind(manifests, "ConfigMap"):
        if "grafana_dashboard" in manifest["metadata"].get("labels", {}):
            rules = [
                {"record": f"panel:{panel['id']}:{target['refId']}", "expr": _plain(target["expr"])}
                for text in manifest["data"].values()
                for panel in json.loads(text)["panels"]
                for target in panel.get("targets", [])
            ]
            found.append((named(manifest), {"groups": [{"name": "dashboard", "rules": rules}]}))
    return found


def _plain(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression
