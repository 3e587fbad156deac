"""serveConfigV2 against Ray Serve's own schema, which lets unknown fields pass, and Stepwell's."""

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from deploy.ray.parts import VERSION, built_in, version, whole
from deploy.ray.sizes import GATEWAY
from k8s.checks.findings import Finding, Manifest, Skipped, named, of_kind
from k8s.checks.reading import load_all
from serving.settings.root import Settings

CHECK = "serve"


def check(manifests: list[Manifest]) -> list[Finding]:
    """What Ray Serve would refuse or silently ignore, and what Stepwell would refuse."""
    schema_of = _schema()
    found = []
    for manifest in of_kind(manifests, "RayService"):
        where = f"{named(manifest)} serveConfigV2"
        try:
            config = serve_config_of(manifest)
            schema = schema_of.model_validate(config)
        except (ValidationError, ValueError) as wrong:
            found.append(Finding(CHECK, where, str(wrong)))
            continue
        found += [Finding(CHECK, where, f"{at}: unknown field") for at in unknown(config, schema)]
        found += _applications(where, config)
    return found


def serve_config_of(manifest: Manifest) -> dict[str, Any]:
    """A RayService's serveConfigV2, parsed. `ValueError` where it is no YAML mapping."""
    loaded = list(load_all(manifest["spec"].get("serveConfigV2") or ""))
    if len(loaded) != 1 or not isinstance(loaded[0], dict):
        raise ValueError("not a mapping")
    return loaded[0]


def settings_of(config: dict[str, Any]) -> Settings:
    """The Stepwell configuration within. `ValidationError` where it is not one, `KeyError` where it
    is given to no gateway.
    """
    deployments = {d["name"]: d for d in config["applications"][0]["deployments"]}
    return Settings.model_validate(whole(deployments[GATEWAY]["user_config"], deployments))


def unknown(given: Any, model: Any, at: str = "") -> list[str]:
    """The paths of fields in `given` that the model made of it does not know."""
    if isinstance(model, BaseModel) and isinstance(given, dict):
        known = type(model).model_fields
        found = []
        for key, value in given.items():
            path = f"{at}.{key}" if at else str(key)
            if key not in known:
                found.append(path)
            else:
                found += unknown(value, getattr(model, key), path)
        return found
    if isinstance(model, list) and isinstance(given, list):
        pairs = enumerate(zip(given, model, strict=True))
        return [path for i, (g, m) in pairs for path in unknown(g, m, f"{at}[{i}]")]
    return []


def _schema() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what Ray does with pydantic
            from ray.serve.schema import ServeDeploySchema  # noqa: PLC0415 - an extra
    except ImportError:
        raise Skipped("Ray is not installed (pip install 'stepwell[ray]')") from None
    return ServeDeploySchema


def _applications(where: str, config: dict[str, Any]) -> list[Finding]:
    found = []
    for application in config.get("applications", []):
        module, _, attribute = application["import_path"].partition(":")
        try:
            builder = getattr(importlib.import_module(module), attribute, None)
        except ImportError as error:
            found.append(Finding(CHECK, where, f"import_path: {error}"))
            continue
        if not callable(builder):
            what = f"import_path: {module} has no {attribute}"
            found.append(Finding(CHECK, where, what))
    try:
        settings = settings_of(config)
        built = config["applications"][0]["args"]["config"]
        Settings.model_validate(built)
    except (ValidationError, KeyError, IndexError) as wrong:
        return [*found, Finding(CHECK, where, f"the configuration within: {wrong}")]
    return [*found, *(Finding(CHECK, where, what) for what in _disagreeing(settings, config))]


def _disagreeing(settings: Settings, config: dict[str, Any]) -> Iterator[str]:
    """The parts of the configuration must be parts of one, and replicas know its version."""
    [application] = config["applications"]
    deployments = {d["name"]: d for d in application["deployments"]}
    given = deployments[GATEWAY]["user_config"]
    if application["args"]["config"] != built_in(settings, given):
        yield "args.config is not the part of the gateways' user_config that is built in"
    for name, deployment in deployments.items():
        if (part := deployment.get("user_config")) is not None:
            options = deployment.get("ray_actor_options", {}).get("runtime_env", {})
            if options.get("env_vars", {}).get(VERSION) != version(part):
                yield f"{name}: {VERSION} is not the version of its user_config"
