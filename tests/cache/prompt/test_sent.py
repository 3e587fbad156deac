"""What later requests are compared with."""

from typing import Any

import pytest

from cache.prompt.sent import Divergence, Sent, SentRequests, divergence
from tests.cache.prompt.helpers import chain_of, chat, rules, system, tool

ANSWER = {"role": "assistant", "content": "Yes."}


def turn(*talk: Any, text: str = "You help.") -> Sent:
    return Sent(chain_of(chat(system(text), *talk)))


def test_a_conversation_is_found_by_its_turns() -> None:
    kept = SentRequests()
    first, other = turn("May I?"), turn("Must I?")
    for sent in (first, other):
        kept.keep("acme", "support", sent)
    found = kept.earlier("acme", "support", turn("May I?", ANSWER, "And now?").chain)
    assert (found.conversation, found.turn, found.feature) == (first, 1, other)
    assert found.nearest is first
    new = kept.earlier("acme", "support", turn("Shall I?").chain)
    assert (new.conversation, new.nearest) == (None, other)
    assert kept.earlier("acme", "sales", turn("Shall I?").chain).nearest is None


def test_a_conversation_is_found_whatever_became_of_its_beginning() -> None:
    kept = SentRequests()
    talk = ["May I?", ANSWER, "And now?"]
    sent = turn(*talk, text="It is 10:03.")
    kept.keep("acme", "support", sent)
    changed = turn("[10:04] May I?", *talk[1:], ANSWER, "And then?", text="It is 10:04.")
    found = kept.earlier("acme", "support", changed.chain)
    assert (found.conversation, found.turn) == (sent, 3)


def test_another_tenant_finds_nothing() -> None:
    kept = SentRequests()
    request = chat(system(rules()), "May I?")
    kept.keep("acme", "support", Sent(chain_of(request)))
    chain = chain_of(request, tenant="globex")
    assert kept.earlier("globex", "support", chain).nearest is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.prompt.sent.KEPT_BYTES", 20_000)
    monkeypatch.setattr("cache.prompt.sent.LARGEST", 5_000)
    kept = SentRequests()
    large = turn("x" * 6_000)
    kept.keep("acme", "support", large)
    assert kept.earlier("acme", "support", large.chain).nearest is None
    for i in range(50):
        kept.keep("acme", f"f{i}", turn(f"{i} " + "x" * 2_000))
    left = [kept.earlier("acme", f"f{i}", turn("?").chain).nearest for i in range(50)]
    assert 0 < sum(sent is not None for sent in left) < 10


def test_where_two_prompts_part() -> None:
    old = turn("May I?", ANSWER, "And now?").chain
    assert divergence(old, old) is None
    assert divergence(turn("May I?").chain, old) is None
    assert divergence(old, turn("May I?", ANSWER, "And how?").chain) == Divergence(
        3, "messages[3]", 4, alike=True
    )
    one, other = (
        chain_of(chat("Hi", tools=[tool("a"), tool("b", description=text)]))
        for text in ("Finds things.", "Finds thongs.")
    )
    found = divergence(one, other)
    assert found is not None
    assert (found.path, found.alike) == ("tools[1]", True)
    odd = divergence(turn("é \ud800 a").chain, turn("é \ud800 b").chain)
    assert odd is not None
    assert odd.offset == 4
