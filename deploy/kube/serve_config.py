"""Ray Serve's configuration (`serveConfigV2`) of a Stepwell configuration."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.kube.groups import bundles, deployment_of, groups_of, place
from deploy.ray.application import QUIET
from deploy.ray.built import EVERYWHERE
from deploy.ray.parts import GIVEN, VERSION, built_in, version
from deploy.ray.sizes import SEMANTIC, sizes, works
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
    """What `serve deploy` takes. The configuration stands in it as it was written, in parts, so
    that a change is rolled out in place and replaces no more replicas than it must; `deployments`
    say how many there are, and which pods take them.
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
                "args": {"config": built_in(settings, written)},
                "deployments": _deployments(settings, written),
            }
        ],
    }


def secrets_of(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """The variable with the database's URL, which every pod needs, and those with the keys of
    hosted models and other secrets, which only the gateways' pods do.
    """
    assert settings.storage.url_env is not None
    keys: dict[str, None] = {}
    for tier in (*settings.tiers, *settings.embedders):
        backend = tier.backend
        if isinstance(backend, AnthropicEngine) and backend.base_url != "emulator":
            keys |= {} if backend.api_key_file else {backend.api_key_env: None}
        if isinstance(backend, OpenAIEngine) and backend.api_key_env and not backend.api_key_file:
            keys[backend.api_key_env] = None
    others = [settings.conversations.key_env] if settings.conversations.enabled else []
    if works(settings) and (told := settings.batch.webhooks).enabled:
        others += [told.secret_env, told.old_secret_env]
    keys |= {name: None for name in others if name is not None}
    return settings.storage.url_env, tuple(keys)


def _deployments(settings: Settings, written: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, size in sizes(settings).items():
        options = {"name": name, **size, **_placed(settings, name)}
        if part := GIVEN.get(name):
            config = part(settings, written)
            environment = {"env_vars": {VERSION: version(config)}}
            options["ray_actor_options"]["runtime_env"] = environment
            options["user_config"] = config
        found.append(options)
    return found


def _placed(settings: Settings, name: str) -> dict[str, Any]:
    """Serve takes these options in place of the application's own, not on top of them."""
    tiers = (*settings.tiers, *settings.embedders)
    tier = next((t for t in tiers if deployment_of(settings, t) == name), None)
    if tier is not None and isinstance(tier.backend, VllmEngine):
        packed = {"placement_group_strategy": "STRICT_PACK"}
        return {"placement_group_bundles": bundles(tier, name), **packed}
    cpus = settings.cache.semantic.ray.num_cpus if name == SEMANTIC else 0
    options: dict[str, Any] = {"num_cpus": cpus, "resources": {place(name): 1}}
    if tier is not None and (share := getattr(tier.backend, "gpu_share", 0.0)):
        options["num_gpus"] = share
    return {"ray_actor_options": options}
