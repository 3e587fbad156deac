"""The worked example that users know, as real calls: `python -m tests.bench.hosted.worked_example`.

100,000 requests a day, each a stable prefix of 2,000 tokens, a question of 200 and an answer of
300, on Opus 4.8, Sonnet 4.6 and Haiku 4.5. A sample of them goes through the gateway to the
emulator at the true rate of a call every 0.864 s, on a clock that is moved: 5,000 calls are 72
minutes. Four stages, each from the ledger, beside the arithmetic and the emulator's own account.
It ends with 1 where these do not agree.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from serving.settings.root import LogSettings
from serving.telemetry.logs import configure
from tests.bench.hosted import show
from tests.bench.hosted.arithmetic import STAGES
from tests.bench.hosted.judged import Judged, judge
from tests.bench.hosted.published import reasons
from tests.bench.hosted.stages import run

CALLS = 5_000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=CALLS, help="of each stage")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    configure(LogSettings(level="error"))
    console = Console(highlight=False, width=150)
    with tempfile.TemporaryDirectory(prefix="stepwell-example-") as folder:
        judged = asyncio.run(_all(options.calls, Path(folder), console))
    for table in show.tables(judged):
        console.print(table)
    console.print(*show.sayings(judged), *reasons(), sep="\n")
    if options.json is not None:
        options.json.write_text(json.dumps(show.figures(judged), indent=2))
    for each in judged:
        for line in each.wrong[:20]:
            console.print(f"WRONG, {each.ran.stage.name}: {line}")
    return int(any(each.wrong for each in judged))


async def _all(calls: int, folder: Path, console: Console) -> list[Judged]:
    found: list[Judged] = []
    for number, stage in enumerate(STAGES):
        began = time.monotonic()
        own = folder / str(number)
        own.mkdir()
        found.append(judge(await run(stage, calls, own)))
        console.print(f"{stage.name}: {calls} calls in {time.monotonic() - began:.0f} s")
    return found


if __name__ == "__main__":
    sys.exit(main())
