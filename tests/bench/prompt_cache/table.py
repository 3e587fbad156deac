"""Costs of a trace by policy, on recorded and made-up traffic, as one table:

    STEPWELL_TEST_DATA=… python -m tests.bench.prompt_cache.table --seeds 101,102

`over`: the planner beside the best fixed policy; `gap`: what the oracle saves beside that policy;
`closed`: the share of it that the planner saves, and in brackets the same beside the bound that no
plan can go below. Without STEPWELL_TEST_DATA the recorded trace is left out.
"""

import argparse
import time
from collections.abc import Iterator

from cache.prompt.replay.trace import Trace
from deploy.cli.console import output, say
from tests.cache.prompt.replay.measure import (
    DATA,
    OPUS,
    Measured,
    as_it_is,
    of_kind,
    recorded,
    slower,
    unshared,
)
from tests.cache.prompt.replay.traces import KINDS

HEAD = (
    f"{'trace':20}{'requests':>9}{'none':>9}{'5m':>9}{'1h':>9}{'planned':>9}{'oracle':>9}"
    f"  best{'over':>9}{'gap':>8}{'closed':>16}{'CPU':>8}"
)


def _traces(seeds: list[int], names: set[str]) -> Iterator[tuple[str, Trace]]:
    if DATA is not None and not names:
        yield "recorded", recorded(as_it_is)
        yield "recorded, time x6", recorded(slower)
        yield "recorded, unshared", recorded(unshared)
    for kind in KINDS:
        for seed in seeds if not names or kind.__name__ in names else ():
            yield f"{kind.__name__} {seed}", of_kind(kind, seed)


def _row(name: str, made: Trace, model: str) -> str:
    began = time.process_time()
    measured = Measured.of(made, model)
    spent, costs = time.process_time() - began, measured.costs
    totals = (costs.none, costs.always_5m, costs.always_1h, costs.planned)
    usd = "".join(f"{total.usd:>9.2f}" for total in totals) + f"{costs.oracle.usd:>9.2f}"
    closed = f"{measured.closed:.1%} ({measured.of_bound:.1%})" if measured.gap > 1e-6 else "-"
    return (
        f"{name:20}{len(made):>9,}{usd}  {measured.best:4}{measured.over:>+9.2%}"
        f"{measured.gap:>8.1%}{closed:>16}{spent:>7.1f}s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="101,102")
    parser.add_argument("--models", default=OPUS)
    parser.add_argument("--kinds", default="", help="only these, and not the recorded trace")
    options = parser.parse_args()
    console = output()
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    for model in options.models.split(","):
        say(console, f"{model}\n{HEAD}")
        for name, made in _traces(seeds, set(options.kinds.split(",")) - {""}):
            say(console, _row(name, made, model))


if __name__ == "__main__":
    main()
