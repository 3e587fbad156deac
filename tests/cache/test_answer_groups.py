"""Which stored answers say the same."""

from hypothesis import given
from hypothesis import strategies as st

from cache.answer_groups import AnswerGroups


def test_what_was_never_compared_is_not_known() -> None:
    assert AnswerGroups().of(1) is None


def test_entries_that_agree_with_one_answer_agree_with_each_other() -> None:
    groups = AnswerGroups()
    groups.compared(3, agrees=[1, 2], differs=[4])
    assert groups.of(1) == groups.of(2) == groups.of(3) != groups.of(4)
    groups.compared(5, agrees=[4, 3], differs=[])
    assert len({groups.of(entry) for entry in range(1, 6)}) == 1


def test_forgotten_entries_take_no_room_and_leave_the_others() -> None:
    groups = AnswerGroups()
    groups.compared(1, agrees=[2], differs=[])
    groups.forget(1)
    groups.forget(9)
    assert (len(groups), groups.of(1)) == (1, None)
    assert groups.of(2) is not None
    groups.forget(2)
    groups.compared(3, agrees=[], differs=[])
    assert len(groups) == 1


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=40))
def test_with_a_comparison_that_never_errs_groups_are_right(told: list[tuple[int, int]]) -> None:
    """Entries answer by their remainder; two in one group always have the same."""
    groups = AnswerGroups()
    for entry, other in told:
        same = entry % 3 == other % 3
        groups.compared(entry, [other] if same else [], [] if same else [other])
    for one in range(21):
        for other in range(21):
            if groups.of(one) is not None and groups.of(one) == groups.of(other):
                assert one % 3 == other % 3
