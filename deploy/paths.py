"""Where state and packaged files are."""

import os
from pathlib import Path

from serving.errors import ConfigError
from serving.settings.root import Settings

METRICS_DIR = "metrics"


def data_dir() -> Path:
    """`STEPWELL_DATA_DIR`, else `.stepwell` in the working directory; made if it is missing."""
    path = Path(os.environ.get("STEPWELL_DATA_DIR") or ".stepwell").expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"STEPWELL_DATA_DIR: cannot make {path}: {error.strerror}") from None
    return path.resolve()


def database_url(settings: Settings) -> str:
    """The configured URL, else a SQLite file in the data directory."""
    storage = settings.storage
    if storage.url_env is not None:
        url = os.environ.get(storage.url_env)
        if not url:
            raise ConfigError(f"storage.url_env: the variable {storage.url_env} is not set")
        return url
    return storage.url or f"sqlite:///{data_dir() / 'stepwell.db'}"


def default_config() -> Path:
    """The packaged mock configuration."""
    return Path(__file__).parent / "configs" / "mock.yaml"
