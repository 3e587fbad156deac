"""Rules and dashboards name metrics that are exported, and Prometheus finds the pods' ports."""

import json
import re
from collections.abc import Callable, Iterator

from k8s.checks.findings import Finding, Manifest, named, of_kind
from k8s.checks.pods import containers_of, pods_of

CHECK = "metrics"
SYNTHETIC = {"up"}
"""Prometheus makes them itself."""

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'")
_MATCHERS = re.compile(r"\{[^{}]*\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_LABELS = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE
)
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "by", "without"}
_WORDS |= {"group_left", "group_right"}
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()")


def check(manifests: list[Manifest], exported: Callable[[], frozenset[str]]) -> list[Finding]:
    """Metrics that nobody exports, and ports that no container has. `exported` gives the names."""
    found = list(_ports(manifests))
    queries = list(_queries(manifests))
    if not queries:
        return found
    there = exported() | SYNTHETIC
    return found + [
        Finding(CHECK, where, f"nobody exports {name}")
        for where, expression in queries
        for name in sorted(metrics_in(expression) - there)
    ]


def metrics_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression reads."""
    left = _TEXT.sub('""', expression)
    for noise in (_MATCHERS, _RANGE, _LABELS):
        left = noise.sub(" ", left)
    return {name for name in _NAME.findall(left) if name.lower() not in _WORDS}


def _queries(manifests: list[Manifest]) -> Iterator[tuple[str, str]]:
    for manifest in of_kind(manifests, "PrometheusRule"):
        for group in manifest["spec"]["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or rule.get("record")
                yield f"{named(manifest)} {name}", rule["expr"]
    for manifest in of_kind(manifests, "ConfigMap"):
        if "grafana_dashboard" not in manifest["metadata"].get("labels", {}):
            continue
        for file, text in manifest["data"].items():
            for panel in json.loads(text)["panels"]:
                for target in panel.get("targets", []):
                    yield f"{named(manifest)} {file} {panel['title']}", target["expr"]


def _ports(manifests: list[Manifest]) -> Iterator[Finding]:
    pods = [pod for pod in pods_of(manifests) if pod.ray]
    for monitor in of_kind(manifests, "PodMonitor"):
        selected = [p for p in pods if _selects(monitor["spec"]["selector"], p.labels)]
        if not selected:
            yield Finding(CHECK, named(monitor), "selects no pod")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for pod in selected:
                ports = [p.get("name") for c in containers_of(pod) for p in c.get("ports", [])]
                if endpoint["port"] not in ports:
                    what = f"{pod.where} has no port {endpoint['port']}"
                    yield Finding(CHECK, named(monitor), what)


def _selects(selector: dict[str, object], labels: dict[str, str]) -> bool:
    plain = selector.get("matchLabels", {})
    listed = selector.get("matchExpressions", [])
    assert isinstance(plain, dict)
    assert isinstance(listed, list)
    return all(labels.get(k) == v for k, v in plain.items()) and all(
        labels.get(each["key"]) in each["values"] for each in listed if each["operator"] == "In"
    )
