from collections.abc import Mapping

import pytest

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.paging import envelope, page

IDS = [str(i) for i in range(30)]


@pytest.mark.parametrize(
    ("query", "first", "last", "more"),
    [
        ({}, 0, 19, True),
        ({"limit": "30"}, 0, 29, False),
        ({"after_id": "25"}, 26, 29, False),
        ({"after_id": "19", "limit": "10"}, 20, 29, False),
        ({"before_id": "25", "limit": "5"}, 20, 24, True),
        ({"before_id": "3"}, 0, 2, False),
    ],
)
def test_pages(query: Mapping[str, str], first: int, last: int, more: bool) -> None:
    shown, found = page(IDS, query)
    assert (shown[0], shown[-1], found) == (str(first), str(last), more)
    assert len(shown) == last - first + 1


def test_the_page_behind_the_last_is_empty() -> None:
    shown, more = page(IDS, {"after_id": "29"})
    assert (list(shown), more) == ([], False)
    assert envelope([], more=False) == {
        "data": [], "has_more": False, "first_id": None, "last_id": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": "0"}, 400), ({"limit": "1001"}, 400), ({"limit": "x"}, 400),
        ({"limit": "9" * 9_999}, 400), ({"after_id": "1", "before_id": "2"}, 400),
        ({"after_id": "no"}, 404), ({"before_id": "no"}, 404),
    ],
)  # fmt: skip
def test_what_makes_no_sense(query: Mapping[str, str], status: int) -> None:
    with pytest.raises(ApiError) as caught:
        page(IDS, query)
    assert caught.value.status == status
