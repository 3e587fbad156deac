"""What is believed to be stored, and for how long."""

from cache.prompt.chain import Block, Breakpoint
from cache.prompt.entries import Entries, Standing, reachable


def blocks(count: int, *, runs: int = 1) -> list[Block]:
    """`runs` neighbours share a position."""
    return [Block(f"k{i}".encode(), 100, 1 + i // runs) for i in range(count)]


def test_an_entry_lives_from_its_request_on_and_anew_from_each_read() -> None:
    entries, chain, points = Entries(), blocks(3), [Breakpoint(1, "5m")]
    entries.began(chain, points, 0.0, None)
    assert entries.standing(chain, points, 299.0) == Standing(live=1)
    assert entries.standing(chain, points, 300.0) == Standing(lapsed=1)
    entries.read(chain, points, 250.0, 1)
    assert entries.standing(chain, points, 549.0) == Standing(live=1)


def test_a_shorter_lifetime_takes_nothing_from_a_longer_one() -> None:
    entries, chain = Entries(), blocks(2)
    entries.began(chain, [Breakpoint(0, "1h")], 0.0, None)
    entries.began(chain, [Breakpoint(0, "5m")], 10.0, None)
    assert entries.standing(chain, [Breakpoint(0, "5m")], 3_599.0).live == 0


def test_the_longest_is_found_and_a_longer_lapsed_one_is_known() -> None:
    entries, chain = Entries(), blocks(4)
    entries.began(chain, [Breakpoint(2, "5m")], 0.0, None)
    entries.began(chain, [Breakpoint(0, "1h")], 0.0, None)
    assert entries.standing(chain, [Breakpoint(3, "5m")], 10.0) == Standing(live=2)
    assert entries.standing(chain, [Breakpoint(3, "5m")], 400.0) == Standing(live=0, lapsed=2)


def test_a_breakpoint_looks_back_over_twenty_positions() -> None:
    chain = blocks(50)
    assert reachable(chain, [Breakpoint(30, "5m")]) == list(range(30, 10, -1))
    assert reachable(chain, [Breakpoint(1, "5m"), Breakpoint(5, "5m")]) == [5, 4, 3, 2, 1, 0]
    assert reachable(chain, [Breakpoint(2, "5m"), Breakpoint(40, "5m")]) == [
        *range(40, 20, -1), 2, 1, 0,
    ]  # fmt: skip
    assert len(reachable(blocks(50, runs=2), [Breakpoint(49, "5m")])) == 40


def test_what_was_not_stored_is_forgotten() -> None:
    entries, chain, points = Entries(), blocks(2), [Breakpoint(0, "5m"), Breakpoint(1, "5m")]
    entries.began(chain, points, 0.0, None)
    entries.measured(b"k0", 140)
    entries.forget([b"k1", b"unknown"])
    assert entries.standing(chain, points, 1.0) == Standing(live=0)
    assert entries.tokens(b"k0") == 140
    assert entries.tokens(b"k1") is None
    entries.read(chain, points, 1.0, 1)
    entries.measured(b"k1", 10)
    assert entries.tokens(b"k1") is None


def test_within_what_is_read_nothing_is_written_and_breakpoints_are_refreshed() -> None:
    entries, chain = Entries(), blocks(4)
    entries.began(chain, [Breakpoint(0, "5m"), Breakpoint(2, "5m")], 0.0, None)
    again = [Breakpoint(0, "5m"), Breakpoint(1, "5m"), Breakpoint(3, "5m")]
    entries.began(chain, again, 200.0, 2)
    entries.read(chain, again, 200.0, 2)
    for index, live in ((0, True), (1, False), (2, True), (3, True)):
        found = entries.standing(chain, [Breakpoint(index, "5m")], 400.0).live == index
        assert found is live, index
