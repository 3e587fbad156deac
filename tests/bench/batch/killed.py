"""One large batch through the mock stack, undisturbed and with its worker killed again and again.

    STEPWELL_TEST_DATA=… python -m tests.bench.batch.killed [--lines 10000] [--kills 10]

The lines are real requests; tiers and Claude are simulated, the emulator of Claude a process of its
own that outlives the kills. Three runs: the batch undisturbed, the batch with `kill -9` of the
whole gateway at times drawn at random from what the first took, and the same requests live. What
must hold: every line ends exactly once, with the same status in both; the provider's bills are the
ledger's rows, so nothing was submitted twice. What is shown: cost per run, what all of it would
have cost live at the baseline, and lines by tier.
"""

import argparse
import asyncio
import json
import random
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
from rich.console import Console
from rich.table import Table

from tests.bench.batch.lines import RULES, texts, write
from tests.bench.batch.stack import Gateway, gateway, provider, usd

POLL_S = 0.25
WITHIN_S = 3_600.0
ENDED = {"completed", "failed", "expired", "cancelled"}
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """`statuses`: HTTP status of each line by its custom_id; `times`: how often each stands in the
    files. Costs in USD; `bounds` is what the ledger holds of calls that a kill cut off, whose usage
    is not known, at most; `billed` is the provider's account.
    """

    name: str
    seconds: float
    statuses: dict[str, int]
    times: Counter[str]
    tiers: Counter[str]
    cost: Decimal
    baseline: Decimal
    bounds: Decimal
    batch_rows: int
    batch_twice: int
    hosted_cost: Decimal
    bills: int
    batch_bills: int
    billed: Decimal
    kills: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-scale", type=float, default=0.05, help="of the mock tiers' times")
    parser.add_argument("--rules", type=int, default=RULES, help="sentences before each request")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = texts(options.lines, options.seed)
    scale, rules = options.time_scale, options.rules
    calm = _run("batch", wanted, rules, scale, lambda g: _batch(g, []))
    drawn = random.Random(options.seed)
    points = sorted(drawn.uniform(0, calm.seconds) for _ in range(options.kills))
    found = [
        calm,
        _run("batch, killed", wanted, rules, scale, lambda g: _batch(g, points)),
        _run("live", wanted, rules, scale, lambda g: asyncio.run(_live(g, _lines(g)))),
    ]
    _show(found)
    if options.json is not None:
        options.json.write_text(json.dumps([_figures(o) for o in found], indent=2))
    wrong = _wrong(found[0], found[1])
    for what in wrong:
        Console().print(f"[red]{what}")
    return 1 if wrong else 0


Told = tuple[dict[str, int], Counter[str], Counter[str], int]


def _run(
    name: str,
    wanted: Sequence[tuple[str, str]],
    rules: int,
    time_scale: float,
    work: Callable[[Gateway], Told],
) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="stepwell-batch-") as place:
        folder = Path(place)
        write(folder / "in.jsonl", wanted, rules)
        emulated = ("--batch", "delay_s=2", "--batch", "requests_per_s=500")
        with provider(folder, *emulated) as hosted:
            batch = {"enabled": True, "lease_s": 5, "flush_s": 5}
            with gateway(folder, hosted, time_scale=time_scale, batch=batch) as served:
                begun = time.monotonic()
                statuses, times, tiers, kills = work(served)
                seconds = time.monotonic() - begun
            bills = hosted.bills()
        return Outcome(
            name,
            seconds,
            statuses,
            times,
            tiers,
            kills=kills,
            bills=len(bills),
            batch_bills=sum("batch_id" in b for b in bills),
            billed=sum((Decimal(b["usd"]) for b in bills), Decimal(0)),
            **_ledger(folder / "ledger.db"),
        )


def _batch(served: Gateway, points: Sequence[float]) -> Told:
    """The gateway is killed whenever it has been up for so many seconds in all."""
    client = served.client().with_options(max_retries=20)
    with (served.path.parent / "in.jsonl").open("rb") as file:
        uploaded = client.files.create(file=file, purpose="batch")
    made = client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    left, down_s, begun = list(points), 0.0, time.monotonic()
    until = begun + WITHIN_S
    while time.monotonic() < until:
        found = client.batches.retrieve(made.id)
        if found.status in ENDED:
            break
        if left and time.monotonic() - begun - down_s >= left[0]:
            left.pop(0)
            stopped = time.monotonic()
            served.kill()
            served.start()
            down_s += time.monotonic() - stopped
        time.sleep(POLL_S)
    else:
        raise SystemExit("the batch did not end")
    statuses: dict[str, int] = {}
    times: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    for file_id in (found.output_file_id, found.error_file_id):
        if file_id is None:
            continue
        for line in client.files.content(file_id).text.splitlines():
            result = json.loads(line)
            times[result["custom_id"]] += 1
            statuses[result["custom_id"]] = result["response"]["status_code"]
            tiers[_tier(result["response"]["body"])] += 1
    return statuses, times, tiers, served.starts - 1


def _lines(served: Gateway) -> list[dict[str, Any]]:
    path = served.path.parent / "in.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def _live(served: Gateway, lines: Sequence[dict[str, Any]]) -> Told:
    statuses: dict[str, int] = {}
    tiers: Counter[str] = Counter()
    places = asyncio.Semaphore(AT_ONCE)
    async with openai.AsyncOpenAI(
        base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=120
    ) as client:

        async def one(line: dict[str, Any]) -> None:
            async with places:
                try:
                    asked = dict(line["body"])
                    own = {"stepwell": asked.pop("stepwell", None)}
                    answer = await client.chat.completions.create(**asked, extra_body=own)
                except openai.APIStatusError as error:
                    statuses[line["custom_id"]] = error.status_code
                    tiers["error"] += 1
                else:
                    statuses[line["custom_id"]] = 200
                    tiers[_tier(answer.model_dump())] += 1

        await asyncio.gather(*(one(line) for line in lines))
    return statuses, Counter(statuses), tiers, 0


def _tier(body: dict[str, Any]) -> str:
    told = body.get("stepwell") or {}
    if told.get("cache") in {"exact", "semantic"}:
        return f"cache ({told['cache']})"
    return str(told.get("tier") or "error")


def _ledger(path: Path) -> dict[str, Any]:
    """Checks are left out of the baseline, as everywhere, not out of the cost."""
    with closing(sqlite3.connect(path)) as connection:
        cost, baseline = connection.execute(
            "SELECT sum(cost), sum(baseline_cost) FROM attempts"
        ).fetchone()
        rows, twice = connection.execute(
            "SELECT coalesce(sum(n), 0), coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n"
            " FROM attempts WHERE service = 'batch' GROUP BY request_id, tier)"
        ).fetchone()
        hosted, bounds = connection.execute(
            "SELECT sum(cost * (1 - usage_estimated)), sum(cost * usage_estimated)"
            " FROM attempts WHERE model LIKE 'claude-%' AND kind != 'cache_hit'"
        ).fetchone()
    return {
        "cost": usd(cost),
        "baseline": usd(baseline),
        "bounds": usd(bounds),
        "batch_rows": rows,
        "batch_twice": twice,
        "hosted_cost": usd(hosted),
    }


def _wrong(calm: Outcome, killed: Outcome) -> list[str]:
    found = []
    if calm.statuses != killed.statuses:
        other = sum(calm.statuses.get(i) != killed.statuses.get(i) for i in calm.statuses)
        found.append(f"{other} lines have another status after the kills")
    for run in (calm, killed):
        if set(run.times.values()) != {1}:
            found.append(f"{run.name}: lines stand more than once in the files")
        if run.batch_rows != run.batch_bills:
            found.append(f"{run.name}: {run.batch_bills} batch bills, {run.batch_rows} rows")
        if run.batch_twice:
            found.append(f"{run.name}: {run.batch_twice} lines were in a tier's batch twice")
    return found


def _show(found: Sequence[Outcome]) -> None:
    table = Table(title="One batch (tiers and Claude simulated)")
    for name in (
        "run",
        "lines",
        "answered",
        "s",
        "kills",
        "USD",
        "bounds",
        "all hosted live",
        "saved",
    ):
        table.add_column(name, justify="left" if name == "run" else "right")
    table.add_column("hosted: ledger / bills")
    for one in found:
        saved = 1 - (one.cost - one.bounds) / one.baseline if one.baseline else Decimal(0)
        in_batches = f"in batches {one.batch_rows} / {one.batch_bills}"
        table.add_row(
            one.name,
            f"{len(one.statuses):,}",
            f"{sum(s == 200 for s in one.statuses.values()):,}",
            f"{one.seconds:.0f}",
            str(one.kills),
            f"{one.cost - one.bounds:.4f}",
            f"{one.bounds:.4f}",
            f"{one.baseline:.4f}",
            f"{saved:.1%}",
            f"{one.hosted_cost:.4f} / {one.billed:.4f}; {in_batches}",
        )
    Console(width=140).print(table)
    for one in found:
        total = sum(one.tiers.values())
        parts = ", ".join(f"{t} {n / total:.1%}" for t, n in one.tiers.most_common())
        Console(width=140).print(f"{one.name}: {parts}")


def _figures(one: Outcome) -> dict[str, Any]:
    return {
        "run": one.name,
        "seconds": one.seconds,
        "kills": one.kills,
        "cost": str(one.cost),
        "bounds": str(one.bounds),
        "baseline": str(one.baseline),
        "hosted_ledger": str(one.hosted_cost),
        "hosted_billed": str(one.billed),
        "batch_rows": one.batch_rows,
        "batch_bills": one.batch_bills,
        "statuses": Counter(one.statuses.values()),
        "tiers": one.tiers,
    }


if __name__ == "__main__":
    raise SystemExit(main())
