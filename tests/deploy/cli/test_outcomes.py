"""`stepwell outcomes export` from a real database."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from serving.storage.database import Database
from serving.storage.outcomes import OutcomesLog

TIERS = {"small": {"correct": 1.0, "answer": "Yes."}, "large": {"correct": 1.0}}


@dataclass(frozen=True)
class Checked:
    id: str
    task: str | None
    tenant: str = "acme"
    prompt: str | None = "Is it?"
    tiers: Mapping[str, Mapping[str, Any]] = None  # type: ignore[assignment]  # set below
    agreed: bool | None = True
    compared_by: str = "exact"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiers", TIERS)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    url = f"sqlite:///{tmp_path / 'stepwell.db'}"

    async def fill() -> None:
        database = await Database.open(url)
        log = OutcomesLog(database)
        for number, task in enumerate(["faq", "code", "faq", None]):
            await log.add(Checked(f"req_{number}", task, tenant=f"t{number}"))
        await database.close()

    asyncio.run(fill())
    path = tmp_path / "stepwell.yaml"
    tier = {"name": "small", "model": "m", "backend": {"engine": "mock"}}
    YAML(typ="safe").dump({"tiers": [tier], "storage": {"url": url}}, path)
    return path


def export(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["outcomes", "export", str(config), *options])


def test_all_to_stdout_in_the_outcomes_format(config: Path) -> None:
    done = export(config)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["task"] for row in rows] == ["faq", "code", "faq", None]
    assert all(set(row) == {"id", "task", "prompt", "tiers"} for row in rows)
    assert rows[0]["tiers"] == TIERS
    assert "4 outcomes written" in done.stderr


def test_a_choice_of_them_to_a_packed_file(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "faq.jsonl.gz"
    done = export(config, "--task", "faq", "-o", str(out))
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert [row["task"] for row in rows] == ["faq", "faq"]
    assert [p.name for p in tmp_path.glob("*.partial")] == []


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--since", "2020-01-01"), 4),
        (("--since", "2999-01-01T00:00:00+02:00"), 0),
        (("--until", "2020-01-01T12:00"), 0),
        (("--tenant", "t1"), 1),
    ],
)
def test_times_and_tenants(config: Path, options: tuple[str, ...], count: int) -> None:
    done = export(config, *options)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == count


def test_nothing_is_made_up_where_there_is_no_database(config: Path, tmp_path: Path) -> None:
    (tmp_path / "stepwell.db").unlink()
    out = tmp_path / "out.jsonl"
    done = export(config, "-o", str(out))
    assert done.exit_code == 2
    assert not out.exists()
    assert not (tmp_path / "stepwell.db").exists()


def test_a_wrong_time_is_refused(config: Path) -> None:
    done = export(config, "--since", "yesterday")
    assert done.exit_code == 2
    assert "yesterday" in done.stderr
