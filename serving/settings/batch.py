"""How work that can wait is kept and answered."""

from pydantic import Field, model_validator

from serving.settings.base import Frozen, Seconds, Share
from serving.settings.webhooks import WebhookSettings

DAY_S = 86_400


class BatchSettings(Frozen):
    """Off unless `enabled`. Files stand under `files_dir` (default: `files` in the data directory),
    which all processes on one database must share. `concurrency` lines are answered at once by each
    process with a `worker`, each within `line_deadline_s` per try; one that fails for no fault of
    its own is tried `max_tries` times, `retry_s` apart at first, then twice as long each time. A
    worker that does not renew its lease for `lease_s` loses what it holds. Clocks of several nodes
    must agree within a fraction of that.

    Where `hosted`, lines wait for the batch endpoint of a tier that has one, as long as their batch
    leaves `hosted_s` for it and `live_s` for an answer without it. They are sent together once
    `flush_lines` wait, or `flush_s` after the first of them began to, when nothing of its batch
    runs any more. A line is sent `hosted_tries` times at most. `prefix_hits`: the share of a
    batch's requests that are expected to find a prefix stored that they have in common. Lines that
    cost less one by one, since they have a long prefix in common and short answers, are answered
    live all the same, unless `cheaper_live` is false.
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
    busy_concurrency: int = Field(
        default=1, ge=1, le=1_000, description="while a client of the same process waits"
    )
    line_deadline_s: Seconds = 600.0
    max_tries: int = Field(default=6, ge=1, le=100)
    retry_s: Seconds = 5.0
    lease_s: Seconds = 30.0
    poll_s: Seconds = 1.0
    hosted: bool = True
    hosted_s: Seconds = 3_600.0
    live_s: Seconds = 1_800.0
    flush_s: Seconds = 30.0
    flush_lines: int = Field(default=2_000, ge=1, le=100_000)
    hosted_tries: int = Field(default=3, ge=1, le=20)
    hosted_poll_s: Seconds = Field(default=10.0, description="at first, then ever longer")
    hosted_poll_max_s: Seconds = 300.0
    ambiguous_s: Seconds = Field(
        default=1_200.0, description="until a submit that is in no list is taken for lost"
    )
    prefix_hits: Share = 0.8
    cheaper_live: bool = True
    webhooks: WebhookSettings = WebhookSettings()

    @model_validator(mode="after")
    def _leases(self) -> "BatchSettings":
        if 2 * self.poll_s > self.lease_s:
            raise ValueError("poll_s may be half of lease_s at most")
        if self.hosted_poll_s > self.hosted_poll_max_s:
            raise ValueError("hosted_poll_s must not exceed hosted_poll_max_s")
        return self
