"""What the gateway's image installs works in a clean environment. No engine builds images here, so
the Dockerfile's own steps run in a folder: on request, since they take a minute and the network.
"""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.k8s.test_dockerfiles import ROOT, arguments, values

pytestmark = pytest.mark.skipif(
    not os.environ.get("STEPWELL_TEST_IMAGES"), reason="STEPWELL_TEST_IMAGES is unset"
)


def shell(command: str, folder: Path) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        ["/bin/sh", "-euc", command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr[-3_000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the steps of the first stage were carried out."""
    root = tmp_path_factory.mktemp("image")
    shell(f"{sys.executable} -m pip wheel --quiet --no-deps --wheel-dir {root} {ROOT}", root)
    given = arguments("Dockerfile.gateway")
    for command in values("Dockerfile.gateway", "RUN"):
        if "/opt/stepwell" not in command:
            continue
        here = command.replace("python -m venv", f"{sys.executable} -m venv")
        here = here.replace("/opt/stepwell", str(root / "venv")).replace('"/tmp/', f'"{root}/')
        for name, value in given.items():
            here = here.replace(f"${{{name}}}", value)
        shell(here, root)
    return root


def test_the_commands_of_pods_are_there(image: Path) -> None:
    programs = {"stepwell", "ray", "serve", "hf", "python"}
    assert programs <= {path.name for path in (image / "venv" / "bin").iterdir()}
    version = shell("venv/bin/stepwell version", image).strip()
    assert version == arguments("Dockerfile.gateway")["STEPWELL_VERSION"]


def test_what_pods_import_is_there(image: Path) -> None:
    modules = ["deploy.ray.built", "deploy.ray.ingress", "deploy.ray.application", "k8s.exporter"]
    modules += ["anthropic", "asyncpg", "faiss", "onnxruntime", "ray.serve"]
    shell(f"cd / && {image}/venv/bin/python -c 'import {', '.join(modules)}'", image)


def test_the_embedders_model_is_there_and_torch_is_not(image: Path) -> None:
    found = shell("venv/bin/python -m pip freeze", image).lower()
    assert re.search(r"^gt[-_]all[-_]minilm[-_]l6[-_]v2==", found, re.MULTILINE)
    assert not re.search(r"^(torch|vllm)==", found, re.MULTILINE)


def test_the_wheel_holds_the_packages_that_images_need(image: Path) -> None:
    [wheel] = image.glob("stepwell-*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    assert {"deploy/ray/built.py", "k8s/exporter.py", "deploy/configs/mock.yaml"} <= {*held}
    assert not any(name.startswith("tests/") for name in held)
