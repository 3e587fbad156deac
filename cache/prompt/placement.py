"""Which breakpoints save most together: dynamic programming over the few places that matter."""

from collections.abc import Sequence
from dataclasses import dataclass

from cache.prompt.chain import LOOKBACK, MAX_BREAKPOINTS, Breakpoint, Ttl
from cache.prompt.economics import NOTHING, RelativePrices, Worth

MOST = 12
"""Places looked at: those beyond are the least likely to matter."""
_ALIKE = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a breakpoint could stand: the block's index and position, the tokens up to its end,
    what an entry there is worth, and what on top, behind a deeper one (`standby`). `stored`: the
    lifetime of the entry that stands there already; a breakpoint keeps it alive and writes nothing.
    """

    index: int
    position: int
    end: int
    worth: Worth
    standby: Worth = NOTHING
    stored: Ttl | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is given when a prompt is planned. `read`: the deepest place whose entry can be read;
    a plan must find it. `coming`: tokens up to an entry that another request is writing just now,
    which need not be written again.
    """

    prices: RelativePrices
    read: Place | None = None
    coming: int = 0
    hours: bool = True


@dataclass(frozen=True, slots=True)
class _State:
    gain: float
    points: tuple[Breakpoint, ...]
    covered: int
    found: bool
    only_5m: bool


def choose(places: Sequence[Place], situation: Situation) -> tuple[Breakpoint, ...]:
    """The breakpoints, in the order of their blocks, with the greatest expected saving. `places`
    in the order of their blocks; the one to be read is among them.

    Each breakpoint adds the tokens since the one before it, at the worth of its own place, and
    subtracts what writing those of them costs that are not read. A state is what the next choice
    depends on; of equal states the better one lives on.
    """
    read = situation.read
    best: dict[tuple[int, bool, bool, int], _State] = {}
    start = _State(0.0, (), situation.coming, read is None, only_5m=False)
    best[0, start.found, False, start.covered] = start
    for place in _thinned(places, read):
        for state in list(best.values()):
            if len(state.points) == MAX_BREAKPOINTS:
                continue
            for after in _steps(state, place, situation):
                key = (len(after.points), after.found, after.only_5m, after.covered)
                if key not in best or best[key].gain < after.gain:
                    best[key] = after
    finished = (state for state in best.values() if state.found)
    chosen = max(finished, key=lambda s: (s.gain, -len(s.points)), default=None)
    if chosen is not None:
        return _ordered(chosen.points)
    return () if read is None else (Breakpoint(read.index, read.stored or "5m"),)


def _steps(state: _State, place: Place, situation: Situation) -> list[_State]:
    """The state with a breakpoint at the place, for each lifetime that it may have."""
    read, found = situation.read, state.found
    if not found and read is not None and place.index >= read.index:
        if place.position - read.position >= LOOKBACK:
            return []
        found = True
    tokens = place.end - state.covered
    if tokens <= 0 and place is not read:
        return []
    if place.stored is not None:
        return [_kept(state, place, tokens, found=found)]
    unread = place.end - max(state.covered, read.end if read is not None else 0)
    steps = [_written(state, place, "5m", situation.prices.write_5m, unread, found=found)]
    if situation.hours and not state.only_5m:
        prices = situation.prices
        steps.append(_written(state, place, "1h", prices.write_1h, unread, found=found))
    return steps


def _written(
    state: _State, place: Place, ttl: Ttl, price: float, unread: int, *, found: bool
) -> _State:
    """With a breakpoint that stores something new."""
    tokens = place.end - state.covered
    gain = state.gain + tokens * _for(ttl, place.worth) + place.end * _for(ttl, place.standby)
    points = (*state.points, Breakpoint(place.index, ttl))
    return _State(gain - unread * (price - 1), points, place.end, found, ttl == "5m")


def _kept(state: _State, place: Place, tokens: int, *, found: bool) -> _State:
    """With a breakpoint on what is stored, whose lifetime stays what it was."""
    ttl: Ttl = place.stored or "5m"
    gain = max(0, tokens) * _for(ttl, place.worth) + place.end * _for(ttl, place.standby)
    points = (*state.points, Breakpoint(place.index, ttl))
    covered = max(state.covered, place.end)
    return _State(state.gain + gain, points, covered, found, state.only_5m)


def _for(ttl: Ttl, worth: Worth) -> float:
    return worth.hour if ttl == "1h" else worth.five_minutes


def _ordered(points: Sequence[Breakpoint]) -> tuple[Breakpoint, ...]:
    """Those of an hour first, as the rules have it: a breakpoint on an entry of five minutes may be
    called one of an hour, which neither costs nor prolongs anything.
    """
    last = max((i for i, point in enumerate(points) if point.ttl == "1h"), default=-1)
    return tuple(Breakpoint(p.index, "1h") if i <= last else p for i, p in enumerate(points))


def _thinned(places: Sequence[Place], read: Place | None) -> list[Place]:
    """Without places than which a deeper one is worth as much, and at most `MOST`."""
    kept: list[Place] = []
    for place in reversed(places):
        if kept and place is not read and _superfluous(place, kept[-1]):
            continue
        kept.append(place)
    kept.reverse()
    surplus = len(kept) - MOST
    return kept if surplus <= 0 else _without_least(kept, read, surplus)


def _superfluous(place: Place, deeper: Place) -> bool:
    """Whether the deeper place is as good for all purposes."""
    pairs = (
        (place.worth.five_minutes, deeper.worth.five_minutes),
        (place.worth.hour, deeper.worth.hour),
        (place.standby.five_minutes, deeper.standby.five_minutes),
        (place.standby.hour, deeper.standby.hour),
    )
    return place.stored == deeper.stored and all(a <= b * _ALIKE for a, b in pairs)


def _without_least(places: list[Place], read: Place | None, surplus: int) -> list[Place]:
    """Without those that differ least from the next deeper place, in tokens times worth."""

    def loss(i: int) -> float:
        if places[i] is read or i + 1 == len(places):
            return float("inf")
        worth, deeper = places[i].worth, places[i + 1].worth
        gain = worth.five_minutes - deeper.five_minutes + worth.hour - deeper.hour
        standby = places[i].standby
        return places[i].end * (gain + standby.five_minutes + standby.hour)

    least = set(sorted(range(len(places)), key=loss)[:surplus])
    return [place for i, place in enumerate(places) if i not in least]
