"""What refuses a batch as a whole."""

from typing import Any

import orjson
import pytest

from serving.hosted.emulator.batches.shape import MAX_REQUESTS, parse_batch
from serving.hosted.emulator.errors import ApiError

PARAMS = {"model": "m", "max_tokens": 1, "messages": []}


def one(custom_id: Any = "a", **more: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "params": PARAMS, **more}


def refusal(body: Any) -> str:
    with pytest.raises(ApiError) as caught:
        parse_batch(body if isinstance(body, bytes) else orjson.dumps(body))
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_custom_ids_that_are_fine(name: str) -> None:
    (item,) = parse_batch(orjson.dumps({"requests": [one(name)]}))
    assert item.custom_id == name
    assert orjson.loads(item.params) == PARAMS


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "é", "a\n", 7, None])
def test_custom_ids_that_are_not(name: Any) -> None:
    assert "requests.0.custom_id" in refusal({"requests": [one(name)]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not valid JSON"),
        ([], "must be a JSON object"),
        ({}, "requests: Input should be a valid array"),
        ({"requests": {}}, "requests: Input should be a valid array"),
        ({"requests": []}, "1 to 100000 requests, not 0"),
        ({"requests": [one()], "metadata": {}}, "metadata: Extra inputs"),
        ({"requests": ["a"]}, "requests.0: Input should be an object"),
        ({"requests": [one(), one("b", method="POST")]}, "requests.1.method: Extra inputs"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
        ({"requests": [one(), one("b"), one()]}, "custom_id must be unique"),
    ],
)
def test_what_is_refused(body: Any, message: str) -> None:
    assert message in refusal(body)


def test_the_number_of_requests_is_bounded() -> None:
    line = b'{"custom_id":"%d","params":{}}'

    def body(count: int) -> bytes:
        return b'{"requests":[' + b",".join(line % i for i in range(count)) + b"]}"

    assert len(parse_batch(body(MAX_REQUESTS))) == MAX_REQUESTS
    assert "not 100001" in refusal(body(MAX_REQUESTS + 1))
