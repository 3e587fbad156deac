"""A copy of the manifests that a test may break, and what the checks say of it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from k8s.check import Report, run
from k8s.checks.build import ROOT
from k8s.checks.findings import Finding

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="there is no kubectl here to render with"
)


@dataclass(frozen=True)
class Copy:
    """`base`, `components` and `overlays` under `root`."""

    root: Path

    def replace(self, file: str, old: str, new: str) -> None:
        """Breaks one file; a text that does not stand there would break nothing."""
        path = self.root / file
        before = path.read_text("utf-8")
        assert old in before, f"{file} holds no {old!r}"
        path.write_text(before.replace(old, new), "utf-8")

    def report(self, overlay: str) -> Report:
        """What the checks say of an overlay."""
        return run([self.root / "overlays" / overlay])

    def found(self, overlay: str) -> list[Finding]:
        """What is wrong with an overlay."""
        return self.report(overlay).found


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """The manifests as they are in the repository."""
    for name in ("base", "components", "overlays"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return Copy(tmp_path)
