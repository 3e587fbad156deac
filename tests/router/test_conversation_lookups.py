"""When a gateway asks the ledger about a conversation, and what it makes of the answer."""

import asyncio

from router.conversations import MAX_READS, UNKNOWN, UNKNOWN_S
from serving.costs.past import PastTurns
from tests.router.memory import WRITES, Books, Gateway, known, past


async def test_an_unknown_conversation_is_looked_up_in_the_ledger() -> None:
    books = Books(PastTurns((past("small", outcome="escalated"), past("large", "r0"))))
    gateway = Gateway(books, ttl_s=600)
    found = await gateway.recall("one", "1", "two")
    first = await gateway.recall("one")
    assert known(found).home == "large"
    assert books.asked == [(first.turn,)]
    assert books.since[0].timestamp() == gateway.now - 600
    gateway.answers(found.call, "large")
    third = await gateway.recall("one", "1", "two", "2", "three")
    assert known(third).record("large").passes == 2, "what the ledger knew is kept"
    assert len(books.asked) == 1


async def test_what_the_ledger_does_not_know_is_not_asked_again_at_once() -> None:
    """As with examples in front of every question."""
    gateway = Gateway()
    for question in ("a", "b", "c"):
        found = await gateway.recall("2+2?", "4", question)
        assert (found.past, found.missing) == (None, UNKNOWN)
    assert len(gateway.books.asked) == 1
    gateway.now += UNKNOWN_S
    await gateway.recall("2+2?", "4", "d")
    assert len(gateway.books.asked) == 2


async def test_a_ledger_that_is_slow_is_not_waited_for_but_its_answer_is_kept() -> None:
    books = Books(PastTurns((past("large"),)), silent=True)
    gateway = Gateway(books, lookup_s=0.001)
    found = await gateway.recall("one", "1", "two")
    assert (found.past, found.missing) == (None, "the ledger did not answer in 1 ms")
    books.speaks.set()
    [read] = [task for task in asyncio.all_tasks() if task.get_name() == "conversation"]
    await read
    gateway.answers(found.call, "top")
    third = await gateway.recall("one", "1", "two", "2", "three")
    assert known(third).home == "top"
    assert known(third).record("large").passes == 1


async def test_a_ledger_that_fails_is_no_error() -> None:
    gateway = Gateway(Books(error=ConnectionError("gone")))
    found = await gateway.recall("one", "1", "two")
    assert (found.past, found.missing) == (None, UNKNOWN)
    await gateway.recall("one", "1", "three")
    assert len(gateway.books.asked) == 2, "it may be back"


async def test_a_call_without_time_does_not_wait() -> None:
    gateway = Gateway(Books(silent=True), lookup_s=60)
    found = await gateway.recall("one", "1", "two", within_s=-1)
    assert found.missing == "the ledger did not answer in 0 ms"
    await gateway.memory.close()


async def test_a_ledger_that_hangs_is_asked_by_few_and_closing_ends_it() -> None:
    gateway = Gateway(Books(silent=True), lookup_s=0.001)
    for n in range(MAX_READS):
        await gateway.recall(f"q{n}", "a", "b")
    found = await gateway.recall("one more", "a", "b")
    assert found.missing == "too many questions to the ledger are open"
    assert len(gateway.books.asked) == MAX_READS
    await gateway.memory.close()
    assert (await gateway.recall("now", "a", "b")).missing.startswith("the ledger did not answer")
    await gateway.memory.close()


async def test_requests_that_are_one_and_the_same_share_a_read() -> None:
    gateway = Gateway(Books(PastTurns((past("large"),))))
    same = await asyncio.gather(*(gateway.recall("one", "1", "two") for _ in range(5)))
    assert {known(found).home for found in same} == {"large"}
    assert len(gateway.books.asked) == 1


async def test_a_session_is_found_in_the_ledger() -> None:
    books = Books(PastTurns(session=(past("large", usage=WRITES),)))
    gateway = Gateway(books)
    found = await gateway.recall("It is 10:01. one", "1", "two", session="s")
    assert known(found).home == "large"
    assert not known(found).cached
