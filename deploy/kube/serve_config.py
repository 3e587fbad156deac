"""Ray Serve's configuration (`serveConfigV2`) of a Stepwell configuration."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.kube.groups import bundles, deployment_of, groups_of, place
from deploy.ray.application import QUIET
from deploy.ray.built import EVERYWHERE
from serving.errors import ConfigError
from serving.settings.load import load_settings
from serving.settings.root import Settings
from serving.settings.tiers import AnthropicEngine, OpenAIEngine
from serving.settings.vllm import VllmEngine

NAME = "stepwell"
BUILDER = "deploy.ray.built:stepwell"


def load(path: Path) -> tuple[Settings, dict[str, Any]]:
    """A configuration that can be served from pods, and what stands in its file. `ConfigError`
    where pods could not serve it.
    """
    settings = load_settings(path)
    if settings.runtime != "ray":
        raise ConfigError(f"{path}: runtime: Kubernetes needs `ray`")
    if not settings.keys:
        raise ConfigError(f"{path}: keys: pods listen on all addresses, which needs `keys`")
    if settings.storage.url_env is None:
        raise ConfigError(
            f"{path}: storage.url_env: pods share no files; name the variable that holds the URL of"
            " a PostgreSQL database"
        )
    if settings.server.port == 0:
        raise ConfigError(f"{path}: server.port: pods need a port of their own choice")
    if settings.server.drain_s < settings.request_deadline_s:
        raise ConfigError(
            f"{path}: server.drain_s: {settings.server.drain_s:g} s would cut streams short, which"
            f" may take {settings.request_deadline_s:g} s (request_deadline_s)"
        )
    return settings, YAML(typ="safe", pure=True).load(path.read_text("utf-8"))


def serve_config(settings: Settings, written: dict[str, Any]) -> dict[str, Any]:
    """What `serve deploy` takes. The configuration stands in it as it was written, so that a change
    is rolled out in place; `deployments` say only which pods take what.
    """
    groups_of(settings)  # raises where no pod could take a replica
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": EVERYWHERE, "port": settings.server.port},
        "logging_config": dict(QUIET),
        "applications": [
            {
                "name": NAME,
                "route_prefix": "/",
                "import_path": BUILDER,
                "args": {"config": written},
                "deployments": _deployments(settings),
            }
        ],
    }


def secrets_of(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """The variable with the database's URL, which every pod needs, and those with the keys of
    hosted models, which only the gateways' pods do.
    """
    assert settings.storage.url_env is not None
    keys: dict[str, None] = {}
    for tier in (*settings.tiers, *settings.embedders):
        backend = tier.backend
        if isinstance(backend, AnthropicEngine) and backend.base_url != "emulator":
            keys |= {} if backend.api_key_file else {backend.api_key_env: None}
        if isinstance(backend, OpenAIEngine) and backend.api_key_env and not backend.api_key_file:
            keys[backend.api_key_env] = None
    return settings.storage.url_env, tuple(keys)


def _deployments(settings: Settings) -> list[dict[str, Any]]:
    found = [_placed("gateway")]
    if any(tier.hosted for tier in settings.tiers):
        found.append(_placed("egress"))
    if settings.cache.semantic.enabled and settings.mode != "observe":
        found.append(_placed("semantic", num_cpus=settings.cache.semantic.ray.num_cpus))
    for tier in (*settings.tiers, *settings.embedders):
        if tier.hosted and tier not in settings.embedders:
            continue
        name = deployment_of(settings, tier)
        if isinstance(tier.backend, VllmEngine):
            packed = {"placement_group_strategy": "STRICT_PACK"}
            found.append({"name": name, "placement_group_bundles": bundles(tier, name), **packed})
        else:
            found.append(_placed(name, num_gpus=getattr(tier.backend, "gpu_share", 0.0)))
    return found


def _placed(name: str, *, num_cpus: float = 0, num_gpus: float = 0) -> dict[str, Any]:
    """Serve takes these options in place of the application's own, not on top of them."""
    options: dict[str, Any] = {"num_cpus": num_cpus, "resources": {place(name): 1}}
    if num_gpus:
        options["num_gpus"] = num_gpus
    return {"name": name, "ray_actor_options": options}
