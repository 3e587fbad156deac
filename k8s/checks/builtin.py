"""Built-in kinds against Kubernetes' own schemas, unknown fields refused."""

import json
import re
from functools import lru_cache
from importlib.resources import files

from k8s.checks.findings import Finding, Manifest, Skipped, named

CHECK = "schema"
NEWEST = 3
CUSTOM = {"RayService", "PodMonitor", "PrometheusRule"}
"""Of operators; other checks look at them."""


def versions() -> list[str]:
    """The newest Kubernetes versions (`1.37`) that the installed schemas know, newest first."""
    try:
        folder = files("kubernetes_validate") / "kubernetes-json-schema"
    except ModuleNotFoundError:
        raise Skipped(
            "kubernetes-validate is not installed (pip install 'stepwell[dev]')"
        ) from None
    found = {
        (int(m[1]), int(m[2]))
        for entry in folder.iterdir()
        if (m := re.match(r"v(\d+)\.(\d+)\.", entry.name))
    }
    return [f"{major}.{minor}" for major, minor in sorted(found, reverse=True)[:NEWEST]]


def check(manifests: list[Manifest]) -> list[Finding]:
    """What the schemas of the newest versions refuse."""
    newest = versions()
    found = []
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            text = json.dumps(manifest, sort_keys=True)
            said = dict.fromkeys(_refused(text, version) for version in newest)
            found += [Finding(CHECK, named(manifest), what) for what in said if what]
    return found


@lru_cache(maxsize=1_000)
def _refused(text: str, version: str) -> str | None:
    """What that version says against an object, None where it takes it."""
    import kubernetes_validate  # noqa: PLC0415 - for development

    manifest = json.loads(text)
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as wrong:
        at = ".".join(str(part) for part in wrong.path)
        return f"Kubernetes {version}: {at}: {wrong.message}"
    except kubernetes_validate.SchemaNotFoundError:
        return f"Kubernetes {version} has no {manifest['apiVersion']} {manifest['kind']}"
    return None
