"""The printed tally."""

import io
from decimal import Decimal
from typing import Any

from rich.console import Console

from deploy.cli.replay.read import BadLine, Line
from deploy.cli.replay.send import Answer, Failure
from deploy.cli.replay.show import MAX_SHOWN, show, usd
from deploy.cli.replay.sums import REST, Money
from deploy.cli.replay.tally import MAX_TIERS, Tally
from deploy.cli.replay.trace import parse_trace
from tests.deploy.cli.endpoint import attempt


def printed(tally: Tally) -> str:
    file = io.StringIO()
    show(Console(file=file, width=160, markup=False, highlight=False), tally)
    return file.getvalue()


def answered(tally: Tally, *attempts: dict[str, Any], latency_ms: float = 10.0) -> None:
    trace = parse_trace({"attempts": list(attempts)})
    assert trace is not None
    tally.add(Line(1, {}), Answer("m", trace, 10, 5, latency_ms, ttft_ms=4.0))


def cells(text: str, table: str, row: str) -> str:
    """One row of a table, by the table's title and the row's first cell, as words."""
    lines = text[text.index(table) :].splitlines()
    return next(" ".join(line.split()) for line in lines if line.split()[:1] == [row])


def test_a_row_per_tier_and_one_for_all() -> None:
    tally = Tally()
    answered(tally, attempt(cost_usd="0.5", baseline_cost_usd="2"))
    climbed = attempt(outcome="escalated", reason="gate", cost_usd="0.25", baseline_cost_usd=None)
    answered(tally, climbed, attempt("large", cost_usd="1", baseline_cost_usd="2"), latency_ms=30)
    hit = attempt(kind="cache_hit", cost_usd="0", baseline_cost_usd="2")
    answered(tally, hit | {"reason": "exact_cache_hit"})
    answered(tally, hit | {"reason": "semantic_cache_hit"})
    text = printed(tally)
    assert cells(text, "Answers", "small") == "small 3 1 0 1 0 1 1 10 10 10 4"
    assert cells(text, "Answers", "large") == "large 1 1 0 0 0 0 0 30 30 30 4"
    assert cells(text, "Answers", "all").startswith("all 4 2 0 1 0 1 1 ")
    assert cells(text, "Cost", "small") == "small 2 20 10 0.750000 6.0000"
    assert cells(text, "Cost", "all") == "all 3 30 15 1.7500 8.0000"
    assert cells(text, "Escalated", "small") == "small gate 1"
    assert "saved 6.2500 USD (78.1%)" in text
    assert (tally.cache_hits, tally.semantic_hits) == (2, 1)
    assert "simulated" not in text


def test_one_tier_needs_no_sum() -> None:
    tally = Tally()
    answered(tally, attempt())
    assert "\n all " not in printed(tally)


def test_nothing_at_all_is_printed_too() -> None:
    assert "requests 0: 0 answered, 0 errors" in printed(Tally())


def test_many_reasons_and_errors_stay_readable() -> None:
    tally = Tally()
    for letter in "abcdefghijklmno":
        answered(tally, attempt(outcome="escalated", reason=f"words:{letter}"), attempt("large"))
        tally.add(BadLine(9, "x"), Failure(f"5{letter}", "happened"))
    text = printed(tally)
    assert cells(text, "Escalated", "small")
    assert f"other reasons {15 - MAX_SHOWN}" in " ".join(text.split())
    assert "15 answered, 15 errors" in text


def test_codes_of_a_server_do_not_reach_the_terminal() -> None:
    tally = Tally()
    answered(tally, attempt("sm\x1b[31mall"), attempt(outcome="escalated", reason="[red]\x07no"))
    text = printed(tally)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "sm?[31mall" in text


def test_money_says_what_it_lacks() -> None:
    money = Money()
    assert usd(money) == "0.000000"
    money.add(None)
    assert usd(money) == "unknown"
    money.add(Decimal("0.1"))
    assert usd(money) == "0.100000+"
    money.add(Decimal(1234))
    assert usd(money) == "1,234.1000+"


def test_tiers_stay_bounded() -> None:
    tally = Tally()
    for number in range(MAX_TIERS + 10):
        tally.add(Line(1, {}), Answer(f"model-{number}", None, 1, 1, 1.0))
    assert len(tally.tiers) == MAX_TIERS + 1
    assert tally.tiers[REST].answered == 10
