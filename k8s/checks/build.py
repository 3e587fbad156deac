"""What Kustomize makes of a folder."""

import shutil
import subprocess
from pathlib import Path

from k8s.checks.findings import Manifest, Skipped
from k8s.checks.reading import load_all

ROOT = Path(__file__).parent.parent
OVERLAYS = ROOT / "overlays"
TIMEOUT_S = 60


class NotBuilt(Exception):
    """Kustomize refused it; the text is what it said."""


def overlays() -> list[Path]:
    """The overlays in the repository."""
    return sorted(p.parent for p in OVERLAYS.glob("*/kustomization.yaml"))


def build(folder: Path) -> list[Manifest]:
    """The objects that `folder` amounts to. `NotBuilt` where it is broken, `Skipped` without
    kubectl.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise Skipped("there is no kubectl here to render with")
    done = subprocess.run(  # noqa: S603 - a fixed program on a folder of ours
        [kubectl, "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode != 0:
        raise NotBuilt(done.stderr.strip())
    return [m for m in load_all(done.stdout) if m]
