"""Headers that may hold what a client wrote."""

from dataclasses import replace
from decimal import Decimal

import pytest

from serving.api.figures import Figures
from serving.api.headers import encode, figure_headers

FIGURES = Figures.of([])


def test_only_what_is_known() -> None:
    assert figure_headers(FIGURES, final=True) == {"x-stepwell-cache": "off"}


def test_a_streams_cost_is_not_known_when_its_headers_leave() -> None:
    figures = replace(FIGURES, tier="small", cost_usd=Decimal("0.1"), escalations=2)
    assert "x-stepwell-cost-usd" not in figure_headers(figures, final=False)
    assert figure_headers(figures, final=True) == {
        "x-stepwell-cache": "off",
        "x-stepwell-tier": "small",
        "x-stepwell-escalations": "2",
        "x-stepwell-cost-usd": "0.1",
    }


def test_reasons_are_told() -> None:
    figures = replace(FIGURES, degraded="breaker open", best_effort="failed json", simulated=True)
    headers = figure_headers(figures, final=True)
    assert headers["x-stepwell-degraded"] == "breaker open"
    assert headers["x-stepwell-best-effort"] == "failed json"
    assert headers["x-stepwell-simulated"] == "true"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("a\r\nset-cookie: x=1", b"a??set-cookie: x=1"),
        ("caf\u00e9\u0000", b"caf??"),
        (" padded ", b"padded"),
        ("x" * 600, b"x" * 509 + b"..."),
    ],
)
def test_no_value_breaks_out_of_its_header(value: str, sent: bytes) -> None:
    assert encode({"x-test": value}) == [(b"x-test", sent)]
