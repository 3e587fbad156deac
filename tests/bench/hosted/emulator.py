"""An emulator of Anthropic's API in a process of its own: `python -m tests.bench.hosted.emulator`.

As `stepwell emulator`, but its answers are canned, of a known number of tokens. It says its URL on
a line by itself once it listens, and writes every bill to a file when it is told to end.
"""

import argparse
import asyncio
import json
import signal
from pathlib import Path

from serving.hosted.emulator.app import Emulator, create_emulator
from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.server import EmulatorServer
from tests.bench.hosted.canned import Canned


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tokens", type=int, required=True, help="of each answer")
    parser.add_argument("--pieces", type=int, default=1, help="of each streamed answer")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each piece")
    parser.add_argument("--fault", action="append", default=[], metavar="KIND=SHARE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stopped", action="store_true", help="the clock only moves when told")
    parser.add_argument("--bills", type=Path, required=True, help="where all bills are written")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    emulator = _emulator(options)
    server = EmulatorServer(emulator)
    print(await server.start(), flush=True)  # noqa: T201 - whoever started it waits for this
    await ended.wait()
    await server.stop()
    bills = [bill.as_json() for bill in emulator.account.bills()]
    found = {**emulator.account.as_json(), "bills": bills}
    await asyncio.to_thread(options.bills.write_text, json.dumps(found))


def _emulator(options: argparse.Namespace) -> Emulator:
    models: list[str] = options.models
    pieces, pause_s = options.pieces, options.pause
    answer = {m: Canned(m, options.tokens, pieces=pieces, pause_s=pause_s) for m in models}
    faults = dict(given.split("=") for given in options.fault)
    return create_emulator(
        answer,
        batch_answer={m: Canned(m, options.tokens) for m in models},
        faults={kind: float(share) for kind, share in faults.items()},
        seed=options.seed,
        clock=Clock(movable=options.stopped, running=not options.stopped),
        keep_bills=None,
    )


if __name__ == "__main__":
    main()
