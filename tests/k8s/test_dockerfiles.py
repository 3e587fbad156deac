"""The images' rules: pinned, without root, small, and with what KubeRay's probes need."""

import io
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from k8s.checks.reading import load_all

ROOT = Path(__file__).parents[2]
FILES = ["Dockerfile.gateway", "Dockerfile.gpu"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@dataclass(frozen=True)
class Step:
    """An instruction and what follows it."""

    name: str
    value: str


def steps(name: str) -> list[Step]:
    text = (ROOT / "deploy" / name).read_bytes()
    parser = DockerfileParser(fileobj=io.BytesIO(text))
    return [
        Step(found["instruction"], found["value"])
        for found in parser.structure
        if found["instruction"] != "COMMENT"
    ]


def values(name: str, instruction: str) -> list[str]:
    return [step.value for step in steps(name) if step.name == instruction]


def arguments(name: str) -> dict[str, str]:
    return dict(value.split("=", 1) for value in values(name, "ARG"))


def last_stage(name: str) -> list[Step]:
    all_steps = steps(name)
    start = max(i for i, step in enumerate(all_steps) if step.name == "FROM")
    return all_steps[start:]


@pytest.mark.parametrize("name", FILES)
def test_bases_are_pinned(name: str) -> None:
    for base in values(name, "FROM"):
        image = base.split(" AS ")[0]
        for argument, value in arguments(name).items():
            image = image.replace(f"${{{argument}}}", value)
        assert re.search(r":\d+\.\d+\.\d+", image), image


@pytest.mark.parametrize("name", FILES)
def test_versions_are_the_projects_own(name: str) -> None:
    given = arguments(name)
    assert given["STEPWELL_VERSION"] == PROJECT["version"]
    extras = PROJECT["optional-dependencies"]
    if "RAY_VERSION" in given:
        assert f"ray[serve,llm]=={given['RAY_VERSION']}" in extras["vllm"]
        assert f"vllm=={given['VLLM_VERSION']}" in extras["vllm"]
    else:
        assert given["PYTHON_VERSION"].startswith(PROJECT["requires-python"].removeprefix(">="))


def test_pods_run_the_pinned_ray() -> None:
    [service] = load_all((ROOT / "k8s" / "base" / "ray-service.yaml").read_text("utf-8"))
    ray = service["spec"]["rayClusterConfig"]["rayVersion"]
    assert PROJECT["optional-dependencies"]["ray"] == [f"ray[serve]=={ray}"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_installed_is_pinned_or_held(name: str) -> None:
    for command in values(name, "RUN"):
        for part in re.findall(r"pip install (.*?)(?:&&|$)", command):
            assert "--no-cache-dir" in part
            for asked in [p for p in part.split() if not p.startswith("-")]:
                pinned = "==" in asked or ".whl" in asked or asked == "/tmp/held.txt"
                assert pinned, asked


@pytest.mark.parametrize("name", FILES)
def test_the_wheel_is_installed_with_extras_that_exist(name: str) -> None:
    [wheel] = re.findall(r"\.whl\[([a-z,-]+)\]", " ".join(values(name, "RUN")))
    assert {*wheel.split(",")} <= set(PROJECT["optional-dependencies"])
    assert {"ray", "postgres", "anthropic"} <= {*wheel.split(",")}


@pytest.mark.parametrize("name", FILES)
def test_the_bill_of_materials_is_of_what_is_installed(name: str) -> None:
    [wheel] = re.findall(r"\.whl\[([a-z,-]+)\]", " ".join(values(name, "RUN")))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"IMAGE_EXTRAS := {wheel}\n" in makefile
    [embedder] = re.findall(r"^EMBEDDER := (\S+)$", makefile, re.MULTILINE)
    assert any(embedder in command for command in values(name, "RUN"))


@pytest.mark.parametrize("name", FILES)
def test_it_runs_without_root(name: str) -> None:
    users = [step.value for step in last_stage(name) if step.name == "USER"]
    assert users[-1] == "1000:100"
    names = [step.name for step in last_stage(name)]
    after = names[len(names) - names[::-1].index("USER") :]
    assert "RUN" not in after
    assert "COPY" not in after


@pytest.mark.parametrize("name", FILES)
def test_pods_run_as_the_images_user(name: str) -> None:
    user, group = values(name, "USER")[-1].split(":")
    for text in ("ray-service.yaml", "weights.yaml"):
        manifest = (ROOT / "k8s" / "base" / text).read_text("utf-8")
        assert f"runAsUser: {user}\n" in manifest
        assert f"runAsGroup: {group}\n" in manifest


@pytest.mark.parametrize("name", FILES)
def test_only_two_folders_are_written(name: str) -> None:
    assert values(name, "VOLUME") == ['["/tmp", "/var/lib/stepwell"]']
    environment = " ".join(values(name, "ENV"))
    assert "HOME=/tmp" in environment
    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert "STEPWELL_DATA_DIR=/var/lib/stepwell" in environment


@pytest.mark.parametrize("name", FILES)
def test_health_is_checked_without_a_shell(name: str) -> None:
    [check] = values(name, "HEALTHCHECK")
    assert "--timeout=" in check
    assert 'CMD ["wget"' in check


def test_the_gateways_image_has_what_probes_call() -> None:
    final = " ".join(s.value for s in last_stage("Dockerfile.gateway") if s.name == "RUN")
    assert "--no-install-recommends wget" in final
    assert "rm -rf /var/lib/apt/lists/*" in final
    assert "pip install" not in final  # built in a stage of its own


@pytest.mark.parametrize("name", FILES)
def test_nothing_secret_and_nothing_wide_is_copied(name: str) -> None:
    for value in values(name, "COPY"):
        source = value.split()[-2]
        assert source.startswith(("dist/stepwell-", "/opt/stepwell"))
    assert not re.search(r"(KEY|TOKEN|PASSWORD|SECRET)=", " ".join(values(name, "ENV")))
    assert values(name, "ADD") == []
