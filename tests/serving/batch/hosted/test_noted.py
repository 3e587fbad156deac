"""What stands in the metrics of lines that wait for providers' batches."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from serving.batch.hosted.noted import note_stand
from serving.batch.hosted.work import Hosted
from serving.batch.values import utc_now
from serving.settings.emulator import EmulatorBatches
from serving.storage.database import Database
from serving.telemetry.hosted_batches import HostedBatchMetrics
from tests.serving.batch.hosted.stage import asked, hard, stage


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_lines_and_batches_are_counted_by_state(database: Database, tmp_path: Path) -> None:
    registry = CollectorRegistry()
    metrics = HostedBatchMetrics(registry)
    rules = EmulatorBatches(delay_s=600, requests_per_s=1_000)
    async with stage(database, tmp_path, batches=rules) as it:
        it.hosted = Hosted(it.hosted.tiers, noted=metrics)
        it.faulty.next("POST", "/batches", "dropped")
        batch_id = await it.submit([asked("e", "easy"), *hard(3)])
        async with it.working():
            await it.hosted_in("submitted")
            await note_stand(database, metrics, utc_now())
            lines = {
                s: value(registry, "stepwell_batch_lines", state=s) for s in ("parked", "done")
            }
            assert lines == {"parked": 3, "done": 1}
            assert value(registry, "stepwell_hosted_batches", state="submitted") == 1
            assert value(registry, "stepwell_hosted_batches", state="ambiguous") == 0
            assert (value(registry, "stepwell_batch_oldest_parked_seconds") or 0) > 0
            ambiguous = "stepwell_hosted_batch_ambiguous_submits_total"
            assert value(registry, ambiguous, tier="top") == 1
            await it.api.pass_s(3_600)
            await it.ended(batch_id)
        await note_stand(database, metrics, utc_now())
        assert value(registry, "stepwell_batch_lines", state="parked") == 0
        assert value(registry, "stepwell_batch_oldest_parked_seconds") == 0
        assert value(registry, "stepwell_batch_promotions_total") == 0
