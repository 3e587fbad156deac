"""A process that is killed has written the hosted calls that it had sent."""

import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from serving.storage.database import Database
from tests.serving.costs.fakes import rows

ROOT = Path(__file__).parents[3]

SEND = """
import asyncio, sys
from serving.costs.ledger import Ledger
from serving.costs.metered import Metered
from serving.storage.database import Database
from tests.serving.costs.fakes import CHEAP, REQUEST, Answers, call, tier

class Told(Answers):
    async def complete(self, request, call):
        print("sent", flush=True)  # the call has left
        return await super().complete(request, call)

async def main():
    database = await Database.open(sys.argv[1])
    ledger = Ledger(database, baseline=None, flush_interval_s=60.0, max_buffered_rows=100)
    await ledger.start()
    metered = Metered(Told(hang=True), tier=tier(hosted=True), price=CHEAP, ledger=ledger)
    await metered.complete(REQUEST, call("req_killed", session="s"))

asyncio.run(main())
"""


async def test_a_killed_process_leaves_its_intents(database: Database, database_url: str) -> None:
    sender = subprocess.Popen(  # noqa: ASYNC220 - it is over before anything else here runs
        [sys.executable, "-c", SEND, database_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert sender.stdout is not None
    assert sender.stdout.readline() == "sent\n"
    sender.send_signal(signal.SIGKILL)
    assert sender.wait(timeout=10) == -signal.SIGKILL
    sender.stdout.close()
    (row,) = await rows(database)
    assert row["outcome"] == "intent"
    assert row["request_id"] == "req_killed"
    assert row["session"] == "s"
    assert row["usage_estimated"]
    assert row["cost"] > Decimal("0.02"), "4,096 tokens of output at 5 USD per million"
