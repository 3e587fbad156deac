"""`stepwell report`: what it prints, and what it must not leave unsaid."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from deploy.cli.given import moment
from deploy.cli.report import report
from serving.errors import ConfigError
from serving.storage.database import Database
from serving.storage.schema import attempts
from serving.storage.upsert import upsert
from tests.serving.storage.rows import attempt

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SMALL: dict[str, Any] = {
    "name": "small",
    "model": "m",
    "backend": {"engine": "mock"},
    "price": {
        "kind": "gpu",
        "gpu_hour": 2.5,
        "prefill_tokens_per_s": 1,
        "decode_tokens_per_s": 1,
    },
    "gate": {},
}
REAL: dict[str, Any] = {
    "name": "real",
    "model": "m",
    "backend": {"engine": "openai", "base_url": "http://127.0.0.1:1/v1", "logprobs": True},
    "price": {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 2},
    "gate": {"min_mean": -0.4},
}
OPUS: dict[str, Any] = {
    "name": "opus",
    "model": "claude-opus-5-5",
    "backend": {"engine": "anthropic"},
}

app = typer.Typer()
app.command("report")(report)


@app.callback()
def _group() -> None:
    """Makes `report` a subcommand, as it is in `stepwell`."""


class Bench:
    """A configuration with a ledger behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'ledger.db'}"

    def config(self, **given: Any) -> Path:
        path = self.folder / "stepwell.yaml"
        settings = {"tiers": [SMALL, OPUS], "storage": {"url": self.url}, **given}
        YAML(typ="safe").dump(settings, path)
        return path

    def store(self, *rows: dict[str, Any]) -> None:
        async def write() -> None:
            database = await Database.open(self.url)
            async with database.begin() as connection:
                await upsert(connection, attempts, rows)
            await database.close()

        asyncio.run(write())

    def run(self, *options: str, **given: Any) -> Result:
        until = () if "--until" in options else ("--until", "2026-11-22")
        arguments = ["report", str(self.config(**given)), *options, *until]
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    def figures(self, *options: str, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("--json", *options, **given).stdout)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def row(key: str, **values: Any) -> dict[str, Any]:
    return attempt(key, **{"request_id": key, "created_at": NOON, "cost": Decimal(1), **values})


ROWS = [
    row("a", simulated=True, baseline_cost=Decimal(4), completion_tokens=1_234, feature="chat"),
    row("b", simulated=True, outcome="escalated", reason="gate", cost=Decimal("0.25")),
    row("c", tier="opus", session="s-1", cost=Decimal(2), baseline_cost=Decimal(2)),
]


def table(output: str, title: str) -> str:
    """The table under that title, up to the next blank line."""
    return output[output.index(title) :].split("\n\n", maxsplit=1)[0]


def test_tables_by_tier_feature_session_and_day(bench: Bench) -> None:
    bench.store(*ROWS)
    done = bench.run()
    assert done.exit_code == 0
    for title in ("By tier", "By feature", "By session", "By day", "Recoverable", "Capacity"):
        assert title in done.stdout
    line = re.search(r"^ *small +.*$", table(done.stdout, "By tier"), re.MULTILINE)
    assert line is not None
    cells = line[0].split()
    for shown in ("1,234", "1.2500", "4.0000", "2.7500", "(69%)", "0.250000", "all"):
        assert shown in cells
    assert "2026-11-20" in table(done.stdout, "By day")
    assert "s-1" in table(done.stdout, "By session")
    assert "gate" in table(done.stdout, "Recoverable")


def test_only_one_grouping_may_be_asked_for(bench: Bench) -> None:
    bench.store(*ROWS)
    done = bench.run("--by", "day")
    assert "By day" in done.stdout
    assert "By tier" not in done.stdout
    assert set(bench.figures("--by", "day", "--by", "tier")["by"]) == {"day", "tier"}


def test_json_has_exact_figures(bench: Bench) -> None:
    tiny = Decimal("0.000000000001")
    bench.store(*ROWS, row("d", cost=tiny, baseline_cost=tiny))
    figures = bench.figures()
    assert figures["total"]["spend_usd"] == "3.250000000001"
    assert figures["total"]["savings_usd"] == "2.75"
    assert figures["total"]["simulated_share"] == 0.5
    assert figures["recoverable"][0]["cost_usd"] == "0.25"
    assert figures["since"] == "2026-11-20T12:00:00+00:00"
    (capacity,) = figures["capacity"]
    assert Decimal(capacity["capacity_usd"]) == 36 * Decimal("2.5")
    assert capacity["simulated"] is True


def test_what_each_lever_saved_is_shown_with_its_share(bench: Bench) -> None:
    noted = {"list_cost": Decimal("1.5"), "live_cost": Decimal("1.25"), "cost": Decimal(1)}
    bench.store(
        row("a", baseline_cost=Decimal(4), service="batch", **noted),
        row("b", kind="cache_hit", baseline_cost=Decimal(4), **dict.fromkeys(noted, Decimal(0))),
        row("c", kind="spot_check", outcome="compared", **dict.fromkeys(noted, Decimal("0.5"))),
    )
    said = table(bench.run().stdout, "Savings, by lever")
    lines = {line[:24].strip(): line[24:].split() for line in said.splitlines()}
    assert lines["baseline"] == ["8.0000", "100.0%"]
    assert lines["cache: same question"] == ["4.0000", "50.0%"]
    assert lines["routing"] == ["2.5000", "31.2%"]
    assert lines["prompt caching"] == ["0.250000", "3.1%"]
    assert lines["batch"] == ["0.250000", "3.1%"]
    assert lines["flex"] == ["0.0000", "0.0%"]
    assert lines["checks and lookups"] == ["-0.500000", "-6.2%"]
    assert lines["baseline less spend"] == ["6.5000", "81.2%"]
    assert "not attributed" not in lines
    total = bench.figures()["total"]
    assert total["parts"]["routing"] == {"saved_usd": "2.5", "share": 0.3125}
    assert total["parts"]["total"]["saved_usd"] == total["savings_usd"] == "6.5"
    (day,) = bench.figures("--by", "day")["by"]["day"]
    assert day["parts"] == total["parts"]


def test_what_no_lever_has_is_said(bench: Bench) -> None:
    bench.store(row("a", baseline_cost=Decimal(4)))
    done = bench.run().stdout
    assert "not attributed" in table(done, "Savings, by lever")
    assert "$3.0000 of baseline less spend could not be attributed" in done
    assert bench.figures()["total"]["parts"]["unattributed"]["saved_usd"] == "3"


def test_the_window_and_the_tenant(bench: Bench) -> None:
    bench.store(*ROWS, row("other", tenant="other", created_at=NOON + timedelta(hours=2)))
    assert bench.figures("--tenant", "other")["total"]["rows"] == 1
    assert bench.figures("--since", "2026-11-20T13:00")["total"]["rows"] == 1
    assert bench.figures("--until", "2026-11-20T13:00:00+01:00")["total"]["rows"] == 0
    assert bench.figures("--until", "2026-11-20T14:00:00+01:00")["total"]["rows"] == 3


def test_simulated_figures_are_labelled(bench: Bench) -> None:
    bench.store(*ROWS)
    assert "Simulated: 2 of 3 rows" in bench.run().stdout


def test_an_uncalibrated_gate_on_a_real_tier_is_said(bench: Bench) -> None:
    bench.store(*ROWS)
    assert "not calibrated" not in bench.run().stdout, "a simulated gate proves nothing anyway"
    tasks = [{"name": "faq", "gates": {"real": {}, "small": {}}}]
    given: dict[str, Any] = {"tiers": [SMALL, REAL, OPUS], "tasks": tasks}
    said = bench.run(**given).stdout
    assert "tiers.real.gate is not calibrated" in said
    assert "tasks.faq.gates.real is not calibrated" in said
    assert bench.figures(**given)["uncalibrated_gates"] == [
        "tiers.real.gate",
        "tasks.faq.gates.real",
    ]
    fitted = REAL | {"gate": {"calibrated": True}}
    assert "not calibrated" not in bench.run(tiers=[SMALL, fitted, OPUS]).stdout


def test_unknown_prices_and_unsettled_calls_are_said(bench: Bench) -> None:
    bench.store(
        row("a", baseline_cost=Decimal(4), usage_estimated=True),
        row("b", cost=None, outcome="failed"),
        row("c", tier="opus", outcome="intent", cost=Decimal("0.5")),
        row("d", tier="opus", outcome="intent", cost=None),
    )
    said = bench.run().stdout
    assert "No known price: 1 row; spend is more than what is shown" in said
    assert "2 hosted calls, the oldest from 2026-11-20 12:00" in said
    assert "up to $0.500000, and 1 without a known price" in said
    assert "Broke off or came without usage: 1 row" in said
    assert "unknown" in table(said, "By tier")
    assert bench.figures()["total"]["savings_usd"] is None


def test_observe_mode_claims_no_savings(bench: Bench) -> None:
    bench.store(*ROWS)
    assert "Observe mode" in bench.run(mode="observe").stdout


def test_names_from_clients_do_not_reach_the_terminal_raw(bench: Bench) -> None:
    bench.store(row("a", session="\x1b[31m[/b]"))
    said = bench.run("--by", "session").stdout
    assert "\x1b" not in said
    assert "\ufffd[31m[/b]" in said


def test_many_sessions_are_cut_and_it_is_said(bench: Bench) -> None:
    bench.store(*(row(str(i), session=f"s{i}") for i in range(30)))
    assert "By session, the 20 dearest of 30" in bench.run("--by", "session").stdout
    figures = bench.figures("--by", "session")
    assert len(figures["by"]["session"]) == figures["groups"]["session"] == 30


def test_a_ledger_without_rows(bench: Bench) -> None:
    bench.store()
    assert "The ledger has no rows here." in bench.run().stdout


def test_without_a_ledger_it_makes_none(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start `stepwell serve` first"):
        bench.run()
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--since", "yesterday"), "neither an age"),
        (("--since", "2026-11-22", "--until", "2026-11-21"), "must be before --until"),
        (("--by", "colour"), "colour"),
    ],
)
def test_a_wrong_option_is_explained(bench: Bench, options: tuple[str, ...], says: str) -> None:
    done = bench.run(*options)
    assert done.exit_code == 2
    assert says in done.stderr


def test_times_as_the_command_line_gives_them() -> None:
    def at(text: str) -> datetime | None:
        return moment(text, NOON, "--since")

    assert at("7d") == NOON - timedelta(days=7)
    assert at("90m") == NOON - timedelta(minutes=90)
    assert at("2026-11-20") == datetime(2026, 11, 20, tzinfo=UTC)
    assert at("2026-11-20T01:00:00+01:00") == datetime(2026, 11, 20, tzinfo=UTC)
    with pytest.raises(typer.BadParameter):
        at("999999w")
