"""What a gateway remembers of the conversations that it served."""

from router.conversations import UNKNOWN
from serving.backend import Call
from tests.router.fakes import make_call
from tests.router.memory import WRITES, Gateway, chat, known


async def test_a_first_turn_asks_nobody_and_knows_nothing() -> None:
    gateway = Gateway()
    first = await gateway.recall("one")
    gateway.answers(first.call, "small")
    again = await gateway.recall("one")
    for found in (first, again):
        assert (found.past, found.missing) == (None, "")
    assert first.turn == again.turn is not None
    assert gateway.books.asked == []


async def test_a_turn_that_was_served_here_is_known_without_asking() -> None:
    gateway = Gateway()
    first = await gateway.recall("one")
    gateway.answers(first.call, "small", "escalated")
    gateway.answers(first.call, "large", usage=WRITES)
    second = await gateway.recall("one", "1", "two")
    assert known(second).home == "large"
    assert known(second).failing("small")
    assert second.past is not None
    assert second.past.now == gateway.now
    assert 8 <= second.past.new_tokens <= 16, "the answer and the new question"
    gateway.answers(second.call, "large", usage=WRITES)
    third = await gateway.recall("one", "1", "two", "2", "three")
    assert known(third).record("large").passes == 2
    assert known(third).record("small").failures == 1
    assert gateway.books.asked == []


async def test_branches_of_a_conversation_go_on_from_where_they_part() -> None:
    gateway = Gateway()
    first = await gateway.recall("one")
    gateway.answers(first.call, "small")
    left, right = [await gateway.recall("one", "1", text) for text in ("left", "right")]
    gateway.answers(left.call, "large")
    gateway.answers(right.call, "small", "escalated")
    gateway.answers(right.call, "top")
    assert known(await gateway.recall("one", "1", "left", "2", "on")).home == "large"
    assert known(await gateway.recall("one", "1", "right", "2", "on")).home == "top"
    assert known(await gateway.recall("one", "1", "else")).home == "small"


async def test_of_a_prompt_that_is_sent_again_the_latest_request_counts() -> None:
    """A thousand conversations may begin with the same greeting."""
    gateway = Gateway()
    for _ in range(5):
        first = await gateway.recall("hi")
        gateway.answers(first.call, "small", "escalated")
        gateway.answers(first.call, "large")
    assert known(await gateway.recall("hi", "1", "two")).record("small").streak == 1
    gateway.answers((await gateway.recall("hi")).call, "small")
    assert not known(await gateway.recall("hi", "1", "two")).failing("small")


async def test_what_comes_to_no_answer_teaches_nothing() -> None:
    gateway = Gateway()
    first = await gateway.recall("one")
    gateway.answers(first.call, "small", "failed")
    gateway.answers(first.call, "large", "cancelled")
    second = await gateway.recall("one", "1", "two")
    assert (second.past, second.missing) == (None, UNKNOWN)


async def test_calls_outside_a_conversation_teach_nothing() -> None:
    gateway = Gateway()
    first = await gateway.recall("one")
    gateway.answers(make_call(), "small")
    check = make_call(kind="spot_check")
    check.trace.conversation = first.turn
    gateway.answers(check, "top")
    assert (await gateway.recall("one", "1", "two")).past is None


async def test_tenants_do_not_meet() -> None:
    gateway = Gateway()
    first = await gateway.recall("one")
    gateway.answers(first.call, "small")
    other = Call("r", "other", make_call().deadline)
    found = await gateway.memory.recall(chat("one", "1", "two"), other)
    assert found.past is None


async def test_a_session_says_which_tiers_serve_it_but_not_what_is_warm() -> None:
    """Its prompts need not go on from one another: here the system message has the time in it."""
    gateway = Gateway()
    first = await gateway.recall("It is 10:00. one", session="s")
    gateway.answers(first.call, "large", usage=WRITES)
    second = await gateway.recall("It is 10:01. one", "1", "two", session="s")
    assert known(second).home == "large"
    assert known(second).record("large").passes == 1
    assert not known(second).cached
    assert (await gateway.recall("It is 10:01. one", "1", "2", session="x")).past is None


async def test_where_the_last_turn_is_unknown_an_earlier_one_counts() -> None:
    gateway = Gateway()
    first = await gateway.recall("one")
    gateway.answers(first.call, "large")
    found = await gateway.recall("one", "1", "two", "2", "three")
    assert known(found).home == "large"
    assert len(gateway.books.asked) == 1, "the ledger may know more"


async def test_memory_ends_with_its_time() -> None:
    gateway = Gateway(ttl_s=100)
    first = await gateway.recall("one")
    gateway.answers(first.call, "small")
    gateway.now += 99
    assert (await gateway.recall("one", "1", "two")).past is not None
    gateway.now += 2
    assert (await gateway.recall("one", "1", "two")).past is None


async def test_memory_is_bounded_and_single_turns_push_no_conversation_out() -> None:
    gateway = Gateway(max_turns=3)
    first = await gateway.recall("kept")
    gateway.answers(first.call, "small")
    second = await gateway.recall("kept", "1", "two")
    gateway.answers(second.call, "small")
    for n in range(20):
        gateway.answers((await gateway.recall(f"single {n}")).call, "small")
    assert (await gateway.recall("kept", "1", "two", "2", "three")).past is not None
    assert (await gateway.recall("single 0", "1", "two")).past is None
    assert (await gateway.recall("single 19", "1", "two")).past is not None
