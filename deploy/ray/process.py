"""What every replica's process does first."""

from serving.settings.root import LogSettings
from serving.telemetry.logs import configure


def log_plainly(settings: LogSettings) -> None:
    """To the process's own standard error: Serve puts a slow logger in place of `sys.stderr`."""
    configure(settings, open(2, "w", buffering=1, closefd=False))  # noqa: SIM115 - stays open
