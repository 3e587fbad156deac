"""RayService against KubeRay's own definition, as an API server would: defaults first."""

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

from k8s.checks.findings import Finding, Manifest, Skipped, named, of_kind
from k8s.checks.reading import load_all

CHECK = "rayservice"
VARIABLE = "KUBERAY_CRD"
OPEN = "x-kubernetes-preserve-unknown-fields"


def check(manifests: list[Manifest]) -> list[Finding]:
    """What KubeRay's schema refuses, unknown fields too. `Skipped` where `KUBERAY_CRD` names no
    file.
    """
    schema = _schema(_path())
    import jsonschema_rs  # noqa: PLC0415 - only this check needs it

    validator = jsonschema_rs.validator_for(closed(schema))
    found = []
    for manifest in of_kind(manifests, "RayService"):
        whole = defaulted(manifest, schema)
        for wrong in validator.iter_errors(whole):
            at = ".".join(str(part) for part in wrong.instance_path)
            found.append(Finding(CHECK, named(manifest), f"{at}: {wrong.message[:300]}"))
    return found


def defaulted(value: Any, schema: dict[str, Any]) -> Any:
    """The value with the schema's defaults wherever their parents are."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        found = {
            k: defaulted(v, properties.get(k, extra if isinstance(extra, dict) else {}))
            for k, v in value.items()
        }
        missing = {
            k: copy.deepcopy(s["default"])
            for k, s in properties.items()
            if "default" in s and k not in value
        }
        return found | {k: defaulted(v, properties[k]) for k, v in missing.items()}
    if isinstance(value, list):
        return [defaulted(item, schema.get("items", {})) for item in value]
    return value


def closed(schema: Any, *, root: bool = True) -> Any:
    """The schema with unknown fields refused, as `kubectl` does in strict mode."""
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    if "properties" in schema:
        properties = {k: closed(v, root=False) for k, v in schema["properties"].items()}
        if root:
            properties["metadata"] = {"type": "object"}
        found["properties"] = properties
        if not schema.get(OPEN):
            found.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found[key] = closed(schema[key], root=False)
    return found


def _path() -> Path:
    given = os.environ.get(VARIABLE)
    if not given:
        raise Skipped(
            f"{VARIABLE} is unset; it names KubeRay's ray.io_rayservices.yaml (docs/kubernetes.md)"
        )
    path = Path(given)
    if not path.is_file():
        raise Skipped(f"{VARIABLE} names {path}, where there is no file")
    return path


@cache
def _schema(path: Path) -> dict[str, Any]:
    [definition] = load_all(path.read_text("utf-8"))
    served = next(v for v in definition["spec"]["versions"] if v["name"] == "v1")
    schema: dict[str, Any] = served["schema"]["openAPIV3Schema"]
    return schema
