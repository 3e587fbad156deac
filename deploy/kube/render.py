"""The generated part of an overlay: a Kustomize component in files."""

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.kube.groups import groups_of
from deploy.kube.patch import patch
from deploy.kube.serve_config import load, serve_config
from deploy.ray.run import FLAGS
from serving.settings.root import Settings
from serving.settings.vllm import VllmEngine

HEADER = "# Made by `stepwell k8s render`: change the configuration instead, and render again.\n"
SERVE_FILE, GROUPS_FILE, KUSTOMIZATION_FILE = "serve.yaml", "groups.yaml", "kustomization.yaml"
RAY_SERVICE = {"group": "ray.io", "kind": "RayService"}


def rendered(path: Path) -> dict[str, str]:
    """Names and texts of the files that the configuration at `path` amounts to. `ConfigError` where
    pods could not serve it.
    """
    settings, written = load(path)
    files = {
        SERVE_FILE: serve_config(settings, written),
        GROUPS_FILE: patch(groups_of(settings), drain_s=settings.server.drain_s),
        KUSTOMIZATION_FILE: _component(settings),
    }
    return {name: HEADER + _yaml(content) for name, content in files.items()}


def _component(settings: Settings) -> dict[str, Any]:
    source = {"kind": "ConfigMap", "name": "stepwell-serve", "fieldPath": "data.serveConfigV2"}
    local = {"config.kubernetes.io/local-config": "true"}  # itself not among what is applied
    models = _models(settings)
    patches: list[dict[str, Any]] = [{"target": dict(RAY_SERVICE), "path": GROUPS_FILE}]
    if models:
        job = {"group": "batch", "kind": "Job", "name": "stepwell-weights"}
        ops = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": models}]
        patches.append({"target": job, "patch": _yaml(ops)})
    return {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configMapGenerator": [
            {
                "name": "stepwell-ray",
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in FLAGS.items()],
            },
            {
                "name": "stepwell-serve",
                "files": [f"serveConfigV2={SERVE_FILE}"],
                "options": {"annotations": local, "disableNameSuffixHash": True},
            },
        ],
        "patches": patches,
        "replacements": [
            {
                "source": source,
                "targets": [{"select": dict(RAY_SERVICE), "fieldPaths": ["spec.serveConfigV2"]}],
            }
        ],
    }


def _models(settings: Settings) -> list[str]:
    """What the pull job fetches, as REPOSITORY@REVISION."""
    found: dict[str, None] = {}
    for tier in (*settings.tiers, *settings.embedders):
        engine = tier.backend
        if isinstance(engine, VllmEngine):
            source = engine.source or tier.model
            if not source.startswith("/") and "://" not in source:
                found[f"{source}@{engine.revision or 'main'}"] = None
            if engine.tokenizer and not engine.tokenizer.startswith("/"):
                found[f"{engine.tokenizer}@main"] = None
    return list(found)


def _yaml(content: Any) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # untyped in ruamel
    yaml.width = 100
    text = StringIO()
    yaml.dump(content, text)
    return text.getvalue()
