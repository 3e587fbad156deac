"""How work that can wait is kept and answered."""

from pydantic import Field, model_validator

from serving.settings.base import Frozen, Seconds

DAY_S = 86_400


class BatchSettings(Frozen):
    """Off unless `enabled`. Files stand under `files_dir` (default: `files` in the data directory),
    which all processes on one database must share. `concurrency` lines are answered at once by each
    process with a `worker`, each within `line_deadline_s` per try; one that fails for no fault of
    its own is tried `max_tries` times, `retry_s` apart at first, then twice as long each time. A
    worker that does not renew its lease for `lease_s` loses what it holds. Clocks of several nodes
    must agree within a fraction of that.
    """

    enabled: bool = False
    worker: bool = True
    files_dir: str | None = None
    max_file_bytes: int = Field(default=200_000_000, ge=1)
    max_lines: int = Field(default=50_000, ge=1, le=1_000_000)
    max_tenant_bytes: int = Field(default=20_000_000_000, ge=1)
    max_tenant_batches: int = Field(default=100, ge=1, description="that have not ended yet")
    upload_s: Seconds = 600.0
    file_ttl_s: int = Field(default=30 * DAY_S, ge=1, description="of files that name no end")
    concurrency: int = Field(default=8, ge=1, le=1_000)
    line_deadline_s: Seconds = 600.0
    max_tries: int = Field(default=6, ge=1, le=100)
    retry_s: Seconds = 5.0
    lease_s: Seconds = 30.0
    poll_s: Seconds = 1.0

    @model_validator(mode="after")
    def _leases(self) -> "BatchSettings":
        if 2 * self.poll_s > self.lease_s:
            raise ValueError("poll_s may be half of lease_s at most")
        return self
