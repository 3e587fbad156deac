"""What checks say."""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: which check found it, in which object, and what."""

    check: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.what}"


class Skipped(Exception):
    """A check that cannot be made here; the text says why."""


def named(manifest: Manifest) -> str:
    """`Kind/name`."""
    return f"{manifest.get('kind')}/{manifest.get('metadata', {}).get('name')}"


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Those of one kind, in their order."""
    return [m for m in manifests if m.get("kind") == kind]
