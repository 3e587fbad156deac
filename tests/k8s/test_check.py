"""Each way in which manifests break is caught, and manifests that hold are let pass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from k8s.check import main
from k8s.checks.build import overlays
from tests.k8s.folder import Copy, copy, needs_kubectl

__all__ = ["copy"]

ROOT = Path(__file__).parents[2]
RAY = "base/ray-service.yaml"
RULES = "components/monitoring/rules.yaml"
SERVE = "overlays/gpu/generated/serve.yaml"
GROUPS = "overlays/gpu/generated/groups.yaml"

needs_definition = pytest.mark.skipif(
    not Path(os.environ.get("KUBERAY_CRD") or "-").is_file(),
    reason="KUBERAY_CRD does not name KubeRay's definition",
)
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool here"
)


def test_there_are_overlays() -> None:
    assert [folder.name for folder in overlays()] == ["gpu", "mock"]


@needs_kubectl
def test_the_overlays_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().err
    assert "nothing wrong" in capsys.readouterr().out


@needs_kubectl
@pytest.mark.parametrize("overlay", ["gpu", "mock"])
def test_a_copy_holds(copy: Copy, overlay: str) -> None:
    report = copy.report(overlay)
    assert report.found == []
    assert report.made + len(report.skipped) == 8


BROKEN = {
    "a wrong type": (
        "gpu",
        ("base/availability.yaml", "value: 90000", 'value: "many"'),
        ("schema", "PriorityClass/stepwell-tier", "many"),
    ),
    "an unknown field": (
        "gpu",
        ("base/weights.yaml", "backoffLimit: 4", "backOffLimit: 4"),
        ("schema", "Job/stepwell-weights", "backOffLimit"),
    ),
    "a missing secret": (
        "gpu",
        ("overlays/gpu/kustomization.yaml", "name: stepwell-hosted", "name: stepwell-other"),
        ("references", "group gateway", "there is no Secret stepwell-hosted"),
    ),
    "a hash that is not rewritten": (
        "mock",
        ("base/names.yaml", "workerGroupSpecs/template/spec/containers/envFrom", "nowhere"),
        ("references", "group cache", "there is no ConfigMap stepwell-ray"),
    ),
    "a missing key of a hosted model": (
        "gpu",
        ("overlays/gpu/hosted.env", "ANTHROPIC_API_KEY", "OTHER_KEY"),
        ("placement", "group gateway", "no Secret gives ANTHROPIC_API_KEY"),
    ),
    "a key where it does not belong": (
        "gpu",
        (
            "overlays/gpu/database.env",
            "STEPWELL_DATABASE_URL",
            "ANTHROPIC_API_KEY=x\nSTEPWELL_DATABASE_URL",
        ),
        ("placement", "group local-70b", "for the gateways' pods alone"),
    ),
    "an unknown field of Serve's": (
        "gpu",
        (SERVE, "proxy_location: EveryNode", "proxy_location: EveryNode\nproxy_locations: x"),
        ("serve", "serveConfigV2", "proxy_locations: unknown field"),
    ),
    "an unknown field of a deployment": (
        "gpu",
        (SERVE, "placement_group_strategy", "placement_group_strategies"),
        ("serve", "serveConfigV2", "placement_group_strategies: unknown field"),
    ),
    "a wrong type of Serve's": (
        "gpu",
        (SERVE, "port: 8000\nlogging", "port: eight\nlogging"),
        ("serve", "serveConfigV2", "http_options.port"),
    ),
    "an unknown setting": (
        "gpu",
        (SERVE, "drain_s: 130", "drains_s: 130"),
        ("serve", "serveConfigV2", "drains_s"),
    ),
    "a builder that is not there": (
        "gpu",
        (SERVE, "deploy.ray.built:stepwell", "deploy.ray.built:stepwells"),
        ("serve", "serveConfigV2", "has no stepwells"),
    ),
    "a part of another configuration": (
        "gpu",
        (
            SERVE,
            "args:\n    config:\n      runtime: ray\n      mode: cascade",
            "args:\n    config:\n      runtime: ray\n      mode: observe",
        ),
        ("serve", "serveConfigV2", "args.config is not the part"),
    ),
    "a version that replicas would not be replaced by": (
        "gpu",
        (SERVE, "STEPWELL_CONFIG: ", "STEPWELL_CONFIG: was-"),
        ("serve", "serveConfigV2", "gateway: STEPWELL_CONFIG is not the version"),
    ),
    "a metric in a rule": (
        "gpu",
        (RULES, "stepwell_stream_errors_total", "stepwell_stream_faults_total"),
        ("metrics", "StepwellStreamsBreak", "nobody exports stepwell_stream_faults_total"),
    ),
    "a metric in the dashboard": (
        "gpu",
        ("components/monitoring/dashboard.json", "stepwell_tier_running", "stepwell_tier_runs"),
        ("metrics", "In flight", "nobody exports stepwell_tier_runs"),
    ),
    "a port that nobody has": (
        "gpu",
        ("components/monitoring/pods.yaml", "port: metrics", "port: metric"),
        ("metrics", "PodMonitor/stepwell", "has no port metric"),
    ),
    "a configuration that was not rendered": (
        "gpu",
        ("overlays/gpu/stepwell.yaml", "min_mean: -0.6", "min_mean: -0.5"),
        ("generated", "gpu/generated/serve.yaml", "stepwell k8s render"),
    ),
    "fewer GPUs than the model is spread over": (
        "gpu",
        (GROUPS, "nvidia.com/gpu: 2", "nvidia.com/gpu: 1"),
        ("placement", "RayService/stepwell", "group local-70b: GPUs: 1"),
    ),
    "places that no pod has": (
        "gpu",
        (SERVE, "stepwell-tier-local-7b: 1", "stepwell-tier-local-8b: 1"),
        ("placement", "RayService/stepwell", "which no pod offers"),
    ),
    "pods that are killed while they drain": (
        "mock",
        ("overlays/mock/generated/groups.yaml", "value: 160", "value: 30"),
        ("placement", "RayService/stepwell", "pods are killed after 30 s"),
    ),
    "a flag that does not reach pods": (
        "mock",
        ("overlays/mock/generated/kustomization.yaml", "RAY_SERVE_ENABLE_HA_PROXY=1", "A=1"),
        ("placement", "group gateway", "RAY_SERVE_ENABLE_HA_PROXY is None"),
    ),
}


@needs_kubectl
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(copy: Copy, name: str) -> None:
    overlay, broken, (check, where, what) = BROKEN[name]
    copy.replace(*broken)
    found = copy.found(overlay)
    assert any(f.check == check and where in f.where and what in f.what for f in found), found


@needs_kubectl
@needs_definition
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("minReplicas: 1", "minReplicas: one", "one"),
        ("enableInTreeAutoscaling: true", "enableInTreeAutoscaling: maybe", "maybe"),
        ("upgradeStrategy:", "upgradeStrategies:", "upgradeStrategies"),
        ("allowPrivilegeEscalation: false", "allowPrivilegesEscalation: false", "allowPrivileges"),
        ("{name: shm, emptyDir: {medium", "{name: shm, emptyDirs: {medium", "emptyDirs"),
    ],
)
def test_what_kuberay_refuses_is_found(copy: Copy, old: str, new: str, said: str) -> None:
    copy.replace(RAY, old, new)
    copy.replace("overlays/mock/generated/groups.yaml", "/minReplicas", "/maxReplicas")
    found = copy.found("mock")
    assert any(f.check == "rayservice" and said in f.what for f in found), found


@needs_kubectl
@needs_promtool
def test_a_rule_that_prometheus_cannot_read_is_found(copy: Copy) -> None:
    copy.replace(RULES, "for: 6h", "for: 6 hours")
    assert "rules" in {f.check for f in copy.found("gpu")}


@needs_kubectl
def test_an_overlay_that_kustomize_refuses_is_found(copy: Copy) -> None:
    copy.replace(GROUPS, "value: local-70b", "value: local-71b")
    [found] = [f for f in copy.found("gpu") if f.check == "build"]
    assert "test failed" in found.what


@needs_kubectl
def test_a_check_that_cannot_be_made_says_why(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERAY_CRD", raising=False)
    report = copy.report("mock")
    assert "KUBERAY_CRD is unset" in report.skipped["rayservice"]
    monkeypatch.setenv("KUBERAY_CRD", "/nowhere.yaml")
    assert "/nowhere.yaml" in copy.report("mock").skipped["rayservice"]


def test_without_kubectl_the_rest_is_checked() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "k8s.check"],
        cwd=ROOT,
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "skipped build: there is no kubectl" in done.stdout
