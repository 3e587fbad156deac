"""Who needs no embedder loads nothing of it, and who does tells nobody."""

import os
import subprocess
import sys
from pathlib import Path

from cache.embedder.checkpoint import Checkpoint

HEAVY = ("numpy", "onnx", "onnxruntime", "tokenizers", "safetensors", "torch")
LOAD = f"""
import sys
import deploy.inline
import cache.embedder.batched, cache.embedder.load, cache.embedder.served
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_a_gateway_without_one_imports_no_model_runtime() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_runtime_reports_to_nobody(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Where it does, it first writes the machine's identifier into the user's cache."""
    load = f"from cache.embedder.load import load_model; load_model({str(checkpoint.folder)!r})"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", load], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
