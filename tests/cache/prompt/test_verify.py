"""What came back against what was planned: every outcome and its cause."""

from dataclasses import replace
from typing import Any

import pytest

from cache.prompt.blocks import PromptChain
from cache.prompt.chain import Breakpoint
from cache.prompt.entries import Standing
from cache.prompt.sent import Divergence, divergence
from cache.prompt.verify import Expected, places, read_block, verdict
from serving.wire.completion import Usage
from tests.cache.prompt.helpers import chain_of, chat, rules, system

ANSWER = {"role": "assistant", "content": "Yes, by paragraph 3. " * 20}
CHAIN = chain_of(chat(system(rules()), "May I?", ANSWER, "And now?"))
TOTAL = CHAIN.tokens
SHARED = CHAIN.ends[0]
POINTS = (Breakpoint(0, "5m"),)


def expected(**fields: Any) -> Expected:
    made: dict[str, Any] = {"chain": CHAIN, "points": POINTS, "reason": "why", "minimum": 512}
    return Expected(**made | fields)


def usage(read: int = 0, written: int = 0, **fields: Any) -> Usage:
    return Usage(TOTAL, 5, cached_tokens=read, cache_write_tokens=written, **fields)


def outcome(expected: Expected, usage: Usage) -> tuple[str, str]:
    found = verdict(expected, usage)
    return found.outcome, found.reason.split(": ", 1)[-1]


def test_what_was_expected_was_read() -> None:
    found = verdict(expected(standing=Standing(live=0)), usage(SHARED))
    assert (found.outcome, found.read, found.missed) == ("hit", 0, False)
    assert found.hit_share == pytest.approx(SHARED / TOTAL)
    assert found.reason == f"read {SHARED:,} and wrote 0 of {TOTAL:,} prompt tokens"


def test_a_measured_prefix_is_expected_as_measured() -> None:
    known = expected(standing=Standing(live=0), stored_tokens=2 * SHARED)
    assert verdict(known, usage(SHARED)).outcome == "evicted"
    assert verdict(known, usage(2 * SHARED)).outcome == "hit"


def test_what_nobody_here_wrote_was_read() -> None:
    assert verdict(expected(), usage(SHARED)).outcome == "hit"


def test_a_longer_prefix_had_expired() -> None:
    both = expected(standing=Standing(live=0, lapsed=2))
    assert verdict(both, usage(SHARED)).reason.endswith("a longer prefix had expired")


def test_a_first_write() -> None:
    assert outcome(expected(), usage(written=SHARED)) == (
        "first_write",
        "the first call with this prefix",
    )


def test_too_short_as_we_know_and_as_the_api_shows() -> None:
    short = chain_of(chat(system("S"), "Hi"))
    reason = "9 tokens are fewer than the 4,096 that claude-haiku-4-5 stores"
    known = expected(chain=short, points=(), reason=reason, minimum=4_096)
    assert outcome(known, Usage(9, 1)) == ("too_short", reason)
    assert outcome(expected(), usage())[0] == "too_short"


def test_no_plan() -> None:
    assert outcome(expected(points=(), reason="it is not reused"), usage()) == (
        "unplanned",
        "it is not reused",
    )


def test_expired() -> None:
    lapsed = expected(standing=Standing(lapsed=0))
    assert outcome(lapsed, usage(written=SHARED)) == (
        "expired",
        "the prefix up to system[0] had not been used for too long",
    )


def test_another_call_was_still_writing() -> None:
    assert outcome(expected(behind=True), usage(written=SHARED))[0] == "not_begun"


def test_evicted() -> None:
    assert outcome(expected(standing=Standing(live=0)), usage(written=SHARED))[0] == "evicted"


def test_the_api_s_own_reason() -> None:
    parted = Divergence(0, "system[0]", 31, alike=True)
    known = expected(standing=Standing(live=0), divergence=parted, reached=1)
    told = usage(written=SHARED, cache_miss_reason="system_changed")
    assert outcome(known, told) == (
        "api",
        "the API says system_changed at system[0], character 31",
    )
    unavailable = usage(written=SHARED, cache_miss_reason="unavailable")
    assert outcome(expected(standing=Standing(live=0)), unavailable)[0] == "evicted"


def parted(old: PromptChain, new: PromptChain) -> Divergence:
    found = divergence(old, new)
    assert found is not None
    return found


def test_changed_bytes_are_named_by_place() -> None:
    before = chain_of(chat(system(rules() + "\nIt is 10:03."), "May I?"))
    now = chain_of(chat(system(rules() + "\nIt is 10:04."), "May I?"))
    changed = expected(chain=now, divergence=parted(before, now), reached=1)
    offset = len(rules()) + len("\nIt is 10:0")
    assert outcome(changed, usage(written=SHARED)) == (
        "changed",
        f"changed bytes at system[0], character {offset:,}, against the feature's earlier call",
    )


def test_a_turn_that_was_rewritten_is_named_too() -> None:
    first = {"role": "assistant", "content": "Yes, by paragraph 4. " + "Yes, by paragraph 3. " * 19}
    now = chain_of(chat(system(rules()), "May I?", first, "And now?"))
    changed = expected(chain=now, divergence=parted(CHAIN, now), conversation=True, reached=3)
    found = outcome(changed, usage(written=SHARED))
    assert found[0] == "changed"
    assert "messages[2], character 18" in found[1]


def test_another_prompt_is_a_first_write() -> None:
    now = chain_of(chat(system("Wholly other. " * 200), "May I?"))
    other = expected(chain=now, divergence=parted(CHAIN, now), reached=1)
    assert outcome(other, usage(written=SHARED)) == (
        "first_write",
        "the first call with this system[0]",
    )


def test_a_client_s_plan_that_stands_behind_what_changes() -> None:
    mark = {"type": "text", "text": "And now?", "cache_control": {"type": "ephemeral"}}
    asked = chat(system(rules()), {"role": "user", "content": [mark]})
    now, before = chain_of(asked), chain_of(chat(system(rules()), "May I?"))
    own = expected(chain=now, points=now.own, divergence=parted(before, now), reached=0)
    assert outcome(own, usage(written=TOTAL)) == (
        "client_plan",
        "the client's own breakpoints stand behind messages[1].content[0], which changes",
    )


def test_no_usage_says_nothing() -> None:
    assert verdict(expected(), Usage()).outcome == "unknown"
    assert verdict(expected(), Usage(9, estimated=True)).outcome == "unknown"


def test_which_block_ends_what_was_read() -> None:
    known = expected(points=(Breakpoint(3, "5m"),))
    for index, end in enumerate(CHAIN.ends):
        assert read_block(known, usage(end)) == index
        doubled = replace(usage(2 * end), prompt_tokens=2 * TOTAL)
        assert read_block(known, doubled) == index
    stored = expected(points=(Breakpoint(3, "5m"),), standing=Standing(live=0))
    assert read_block(stored, usage(CHAIN.ends[1])) == 0
    assert read_block(stored, usage(CHAIN.ends[2])) == 2


def test_places_in_words() -> None:
    points = (Breakpoint(0, "1h"), Breakpoint(3, "5m"))
    assert places(CHAIN, points) == "system[0] (1h), messages[3] (5m)"
