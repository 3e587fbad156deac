"""One configuration, and what it renders to: nothing said twice, nothing lost."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deploy.cli.k8s import k8s
from deploy.kube.groups import groups_of
from deploy.kube.render import rendered
from deploy.kube.serve_config import load, secrets_of, serve_config
from deploy.paths import default_config
from deploy.ray.built import given_settings, stepwell
from deploy.ray.parts import built_in
from deploy.ray.run import FLAGS
from k8s.checks.build import OVERLAYS, build
from k8s.checks.findings import of_kind
from k8s.checks.pods import pods_of, variables_of
from k8s.checks.reading import load_all
from k8s.checks.serve import serve_config_of, settings_of
from serving.errors import ConfigError
from serving.settings.load import load_settings
from serving.settings.root import Settings
from serving.settings.vllm import VllmEngine
from tests.k8s.folder import needs_kubectl

MOCK, GPU = (OVERLAYS / name / "stepwell.yaml" for name in ("mock", "gpu"))


def parsed(files: dict[str, str], name: str) -> Any:
    [found] = load_all(files[name])
    return found


@pytest.mark.parametrize("config", [MOCK, GPU])
def test_pods_get_the_settings_that_the_file_holds(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_DATABASE_URL", "postgresql://u@h/d")
    config_of_serve = parsed(rendered(config), "serve.yaml")
    written = load_settings(config)
    assert settings_of(config_of_serve) == written
    [gateway] = [d for d in deployments(config_of_serve) if d["name"] == "gateway"]
    found = given_settings(gateway["user_config"], listens=True)
    assert found.storage.url == "postgresql://u@h/d"
    assert (found.server.host, found.server.port) == ("0.0.0.0", written.server.port)
    for name in ("tasks", "default_task", "keys", "cache", "baseline", "spot_checks", "limits"):
        assert getattr(found, name) == getattr(written, name), name
    assert [t.gate for t in found.tiers] == [t.gate for t in written.tiers]


def deployments(config: dict[str, Any]) -> list[dict[str, Any]]:
    [application] = config["applications"]
    found: list[dict[str, Any]] = application["deployments"]
    return found


def test_the_mock_overlay_is_the_mock_configuration() -> None:
    here, there = load_settings(MOCK), load_settings(default_config())
    for name in ("tiers", "tasks", "default_task", "baseline", "cache", "spot_checks", "mode"):
        assert getattr(here, name) == getattr(there, name), name


@needs_kubectl
@pytest.mark.parametrize("overlay", ["mock", "gpu"])
def test_every_pod_of_ray_gets_the_flags_of_serve(overlay: str) -> None:
    manifests = build(OVERLAYS / overlay)
    pods = [pod for pod in pods_of(manifests) if pod.ray]
    assert len(pods) == 5
    for pod in pods:
        got = variables_of(pod.spec["containers"][0], manifests)
        assert {k: got.get(k) for k in FLAGS} == FLAGS
        assert got["STEPWELL_DATA_DIR"] == "/var/lib/stepwell"


@needs_kubectl
def test_the_gpu_overlay_agrees_with_the_memory_plan() -> None:
    from deploy.cli.check import Asked, examine

    settings = load_settings(GPU)
    plan = examine(settings, Asked(1_200, 200, None, elsewhere=True))
    assert plan.memory
    assert all(tier.fits for tier in plan.memory)
    [service] = of_kind(build(OVERLAYS / "gpu"), "RayService")
    groups = {g["groupName"]: g for g in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]}
    config = serve_config_of(service)
    deployments = {d["name"]: d for d in config["applications"][0]["deployments"]}
    spread = {}
    for tier in settings.tiers:
        if isinstance(engine := tier.backend, VllmEngine):
            spread[tier.name] = engine.tensor_parallel
            pod = groups[tier.name]["template"]["spec"]
            limits = pod["containers"][0]["resources"]["limits"]
            bundles = deployments[f"tier-{tier.name}"]["placement_group_bundles"]
            assert limits["nvidia.com/gpu"] == engine.workers == len(bundles)
            assert engine.accelerator_type is not None
            assert f"NVIDIA-{engine.accelerator_type}" in str(pod["affinity"])
    assert spread == {"local-7b": 1, "local-70b": 2}


@pytest.mark.parametrize("name", ["gpu", "gpu-2xh100", "gpu-small"])
def test_pods_have_what_the_memory_plan_counts_on(name: str, tmp_path: Path) -> None:
    """For the configurations that `stepwell serve` takes as they are, and pods with what they ask
    beside.
    """
    from deploy.cli.check import Asked, examine

    source = default_config().parent / f"{name}.yaml"
    written = YAML(typ="safe", pure=True).load(source.read_text("utf-8"))
    overlay = YAML(typ="safe", pure=True).load(GPU.read_text("utf-8"))
    config = tmp_path / "stepwell.yaml"
    more = {key: overlay[key] for key in ("keys", "storage", "server")}
    YAML(typ="safe", pure=True).dump({**written, **more}, config)
    plan = {m.tier: m for m in examine(load_settings(source), Asked(elsewhere=True)).memory}
    settings, written = load(config)
    sizes = {d["name"]: d for d in deployments(serve_config(settings, written))}
    groups = {group.name: group for group in groups_of(settings)}
    for tier in settings.tiers:
        if not isinstance(engine := tier.backend, VllmEngine):
            continue
        bundles = sizes[f"tier-{tier.name}"]["placement_group_bundles"]
        group = groups.get(tier.name) or groups["shared-gpu"]
        assert [bundle["GPU"] for bundle in bundles] == [engine.gpu_share] * engine.tensor_parallel
        assert plan[tier.name].fits
        assert plan[tier.name].devices == sum(bundle["GPU"] for bundle in bundles) <= group.gpus
        kind = engine.accelerator_type
        assert group.accelerators == ((kind,) if kind else ())
        assert (kind or "GPU") in plan[tier.name].hardware


def test_the_configuration_stands_in_serves_own_as_it_was_written() -> None:
    settings, written = load(MOCK)
    config = serve_config(settings, written)
    [application] = config["applications"]
    assert application["args"] == {"config": built_in(settings, written)}
    [gateway] = [d for d in deployments(config) if d["name"] == "gateway"]
    assert gateway["user_config"]["tasks"] == written["tasks"]
    assert "request_deadline_s" not in gateway["user_config"]  # a default is not written


def test_secrets_are_named_and_never_held() -> None:
    assert secrets_of(load_settings(GPU)) == ("STEPWELL_DATABASE_URL", ("ANTHROPIC_API_KEY",))
    assert secrets_of(load_settings(MOCK)) == ("STEPWELL_DATABASE_URL", ())


def test_secrets_that_are_no_keys_of_models_are_named_too() -> None:
    written = load(MOCK)[1]
    written["conversations"] = {"key_env": "DIGESTS"}
    webhooks = {"enabled": True, "hosts": ["hooks.example.com"], "secret_env": "NEW"}
    written["batch"] = {"enabled": True, "webhooks": {**webhooks, "old_secret_env": "OLD"}}
    assert secrets_of(Settings.model_validate(written))[1] == ("DIGESTS", "NEW", "OLD")
    written["batch"]["webhooks"]["enabled"] = False
    written["conversations"]["enabled"] = False
    assert secrets_of(Settings.model_validate(written))[1] == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("runtime: ray", "runtime: inline", "Kubernetes needs `ray`"),
        ("  url_env: STEPWELL_DATABASE_URL", "  url: sqlite:////x.db", "share no files"),
        ("drain_s: 130", "drain_s: 20", "cut streams short"),
        ("  port: 8000", "  port: 0", "server.port"),
    ],
)
def test_what_pods_cannot_serve_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = MOCK.read_text("utf-8")
    assert old in text
    config = tmp_path / "stepwell.yaml"
    config.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ConfigError, match=said):
        rendered(config)


def test_without_keys_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs `keys`"):
        rendered(default_config())


def test_serve_knows_every_deployment_that_is_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the mock: building a tier on vLLM would import it."""
    build_app = pytest.importorskip("ray.serve._private.build_app").build_app
    monkeypatch.setenv("STEPWELL_DATABASE_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    [application] = parsed(rendered(MOCK), "serve.yaml")["applications"]
    built = build_app(stepwell(application["args"]), name=application["name"])
    placed = {deployment["name"] for deployment in application["deployments"]}
    assert {deployment.name for deployment in built.deployments} == placed
    assert (tmp_path / "ledger.db").exists()  # migrated once, before any replica opens it


def test_arguments_that_are_no_configuration_are_refused() -> None:
    for args, said in (
        ({}, "the one key"),
        ({"config": {"tier": []}}, "tiers"),
        (
            {"config": {"tiers": [{"name": "a", "model": "m", "backend": {"engine": "mock"}}]}},
            "ray",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            stepwell(args)


def test_the_command_writes_and_verifies(tmp_path: Path) -> None:
    run, out = CliRunner().invoke, tmp_path / "generated"
    asked = ["render", str(MOCK), "--out", str(out)]
    assert run(k8s, [*asked, "--verify"]).exit_code == 1
    assert not out.exists()
    assert run(k8s, asked).exit_code == 0
    assert {p.name for p in out.iterdir()} == set(rendered(MOCK))
    assert run(k8s, [*asked, "--verify"]).exit_code == 0
    (out / "serve.yaml").write_text("changed", "utf-8")
    stale = run(k8s, [*asked, "--verify"])
    assert stale.exit_code == 1
    assert "serve.yaml is not what" in stale.stderr


def test_the_command_prints(tmp_path: Path) -> None:
    done = CliRunner().invoke(k8s, ["render", str(MOCK)])
    assert done.exit_code == 0
    assert done.stdout.count("# Made by `stepwell k8s render`") == 3
    assert CliRunner().invoke(k8s, ["render", str(MOCK), "--verify"]).exit_code == 2
