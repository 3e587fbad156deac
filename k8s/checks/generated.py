"""What is committed is what the configuration renders to."""

from pathlib import Path

from deploy.kube.render import rendered
from k8s.checks.findings import Finding
from serving.errors import ConfigError

CHECK = "generated"
CONFIG = "stepwell.yaml"
FOLDER = "generated"


def check(overlay: Path) -> list[Finding]:
    """Files of an overlay's `generated/` that differ, are missing or are left over."""
    config, folder = overlay / CONFIG, overlay / FOLDER
    try:
        wanted = rendered(config)
    except ConfigError as error:
        return [Finding(CHECK, overlay.name, error.message)]
    there = {p.name: p.read_text("utf-8") for p in folder.iterdir()} if folder.is_dir() else {}
    again = f"stepwell k8s render {config} -o {folder}"
    return [
        Finding(CHECK, f"{overlay.name}/{FOLDER}/{name}", f"is not what {CONFIG} says: {again}")
        for name in sorted({*wanted, *there})
        if wanted.get(name) != there.get(name)
    ]
