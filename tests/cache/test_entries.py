"""Cached answers in memory."""

from cache.entries import Entries, Entry
from serving.wire.completion import Choice, Completion, Usage


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def entry(request_id: str = "r1", *, size: int = 10, ttl_s: float = 60.0) -> Entry:
    completion = Completion("c", 1, "m", (Choice(content="x"),), Usage())
    return Entry(
        completion, "small", "m", False, (), request_id, f"att_{request_id}", size, 0, ttl_s
    )


def test_entries_live_as_long_as_their_task_says() -> None:
    clock = Clock()
    entries = Entries(100, clock)
    entries.put("short", entry("r1", ttl_s=5))
    entries.put("long", entry("r2", ttl_s=50))
    clock.now += 4.9
    assert entries.get("short") is not None
    clock.now += 0.1
    assert entries.get("short") is None
    assert entries.get("long") is not None
    assert (len(entries), entries.bytes) == (1, 10)


def test_the_least_recently_used_goes_first() -> None:
    entries = Entries(30, Clock())
    for name in "abc":
        entries.put(name, entry(name))
    entries.get("a")
    entries.put("d", entry("d"))
    assert [name for name in "abcd" if entries.get(name)] == ["a", "c", "d"]
    assert entries.bytes == 30
    entries.put("e", entry("e", size=25))
    assert [name for name in "abcde" if entries.get(name)] == ["e"]


def test_an_entry_larger_than_the_cache_is_not_kept() -> None:
    entries = Entries(30, Clock())
    assert not entries.put("a", entry(size=31))
    assert entries.put("a", entry(size=30))


def test_the_answer_of_a_request_can_be_forgotten() -> None:
    entries = Entries(100, Clock())
    entries.put("a", entry("r1"))
    assert entries.evict("r1")
    assert entries.get("a") is None
    assert not entries.evict("r1")
    assert not entries.evict("never seen")


def test_a_later_answer_to_the_same_question_stays() -> None:
    entries = Entries(100, Clock())
    entries.put("a", entry("r1"))
    entries.put("a", entry("r2"))
    assert not entries.evict("r1")
    assert entries.get("a") == entry("r2")
    assert entries.evict("r2")


def test_an_answer_found_wrong_before_it_arrives_is_not_kept() -> None:
    entries = Entries(100, Clock())
    assert not entries.evict("r1")
    assert not entries.put("a", entry("r1"))
    assert entries.get("a") is None
    assert entries.put("a", entry("r2"))


def test_bookkeeping_stays_as_small_as_the_cache() -> None:
    clock = Clock()
    entries = Entries(50, clock)
    for i in range(2_000):
        entries.put(f"k{i}", entry(f"r{i}"))
    assert len(entries._key_of) < 200
    assert entries.evict("r1999")
    assert not entries.evict("r0")
