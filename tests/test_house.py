"""The house holds: every module imports with no extra installed, and rooms stay small."""

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ["serving", "router", "cache", "deploy", "k8s"]
EXTRAS = ["anthropic", "asyncpg", "ray", "vllm", "torch", "faiss", "sentence_transformers"]
EXTRAS += ["numpy", "onnx", "onnxruntime", "safetensors", "tokenizers"]

IMPORT_ALL = f"""
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ImportError(name + " belongs to an extra")

sys.meta_path.insert(0, Refuse())
count = 0
for package in {PACKAGES!r}:
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        if ".migrations." in module.name:  # run by Alembic, never imported
            continue
        importlib.import_module(module.name)
        count += 1
print(count)
"""


def sources() -> list[Path]:
    folders = [ROOT / name for name in [*PACKAGES, "tests"]]
    return [p for f in folders for p in f.rglob("*.py") if p.name != "__init__.py"]


def test_every_module_imports_without_any_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_no_source_file_outgrows_a_room() -> None:
    sizes = {p.relative_to(ROOT): len(p.read_text("utf-8").splitlines()) for p in sources()}
    assert {str(p): n for p, n in sizes.items() if n > 400} == {}
    assert statistics.median(sizes.values()) < 150


def test_packages_are_no_rooms() -> None:
    for name in [*PACKAGES, "tests"]:
        for init in (ROOT / name).rglob("__init__.py"):
            body = init.read_text("utf-8").strip()
            assert body.startswith('"""'), init
            assert body.endswith('"""'), init
