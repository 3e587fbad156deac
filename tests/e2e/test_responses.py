"""`/v1/responses` through the whole stack, as the unmodified `openai` SDK speaks it."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from tests.e2e.configs import ladder
from tests.e2e.stack import Stack, running

TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "strict": None,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(ladder(), tmp_path_factory.mktemp("responses")) as running_stack:
        yield running_stack


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with stack.client(timeout=30) as opened:
        yield opened


def test_a_text_comes_back_with_its_figures(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(
        model="auto", input="What is 2 + 2?", instructions="Be brief.", metadata={"feature": "sums"}
    )
    found = raw.parse()
    assert found.status == "completed"
    assert found.output_text
    assert found.instructions == "Be brief."
    assert found.metadata == {"feature": "sums"}
    assert found.model == "small" == raw.headers["x-stepwell-tier"]
    assert found.id == raw.headers["x-request-id"].replace("req_", "resp_")
    assert found.usage is not None
    assert found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens
    usage = found.usage.model_dump()
    assert usage["stepwell"]["tier"] == "small"


def test_it_is_kept_listed_and_deleted(client: openai.OpenAI) -> None:
    made = client.responses.create(model="auto", input="What is 3 + 4?")
    again = client.responses.retrieve(made.id)
    assert again.model_dump() == made.model_dump()
    (item,) = client.responses.input_items.list(made.id).data
    assert item.type == "message"
    assert item.content[0].model_dump()["text"] == "What is 3 + 4?"
    client.responses.delete(made.id)
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.APIStatusError) as caught:
            ask(made.id)
        assert caught.value.status_code in (400, 404)


def test_what_is_not_to_be_stored_is_not(client: openai.OpenAI) -> None:
    made = client.responses.create(model="auto", input="What is 3 + 5?", store=False)
    assert made.model_dump()["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_a_stream_has_the_events_that_the_sdk_expects(client: openai.OpenAI) -> None:
    kinds: list[str] = []
    with client.responses.stream(model="auto", input="What is 5 + 5?") as events:
        for number, event in enumerate(events):
            assert event.sequence_number == number
            kinds.append(event.type)
        final = events.get_final_response()
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert final.output_text
    assert client.responses.retrieve(final.id).output_text == final.output_text


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_is_called_and_its_output_answered(client: openai.OpenAI, streams: bool) -> None:
    asked: Any = {
        "model": "auto",
        "input": "What is the weather in Paris?",
        "tools": [TOOL],
        "tool_choice": "required",
    }
    if streams:
        with client.responses.stream(**asked) as events:
            kinds = [event.type for event in events]
            made: Response = events.get_final_response()
        assert "response.function_call_arguments.done" in kinds
    else:
        made = client.responses.create(**asked)
    (call,) = made.output
    assert call.type == "function_call"
    assert call.name == "get_weather"
    assert isinstance(json.loads(call.arguments), dict)
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    # The client may send the whole history, or the id of what was before.
    history: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    history += [call.to_dict(), output]
    whole = client.responses.create(model="auto", tools=[TOOL], input=history)
    chained = client.responses.create(
        model="auto", tools=[TOOL], input=[output], previous_response_id=made.id
    )
    assert whole.status == chained.status == "completed"
    assert chained.previous_response_id == made.id
    assert whole.usage is not None
    assert chained.usage is not None
    assert whole.usage.input_tokens == chained.usage.input_tokens
    kept = client.responses.input_items.list(chained.id).data
    assert [item.type for item in kept] == ["function_call_output"]


class Sum(BaseModel):
    total: int


def test_structured_answers_are_parsed(client: openai.OpenAI) -> None:
    found = client.responses.parse(model="auto", input="What is 4 + 4?", text_format=Sum)
    assert isinstance(found.output_parsed, Sum)
    assert found.text is not None
    assert found.text.format is not None
    assert found.text.format.type == "json_schema"


def test_an_image_goes_to_a_tier_that_sees(client: openai.OpenAI) -> None:
    pixel = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
        "YPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    )
    content: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": pixel, "detail": "auto"},
    ]
    asked: Any = [{"role": "user", "content": content}]
    found = client.responses.create(model="sonnet", input=asked)
    alone = client.responses.create(model="sonnet", input="What is this?")
    assert found.usage is not None
    assert alone.usage is not None
    assert found.usage.input_tokens > alone.usage.input_tokens


def test_an_answer_that_is_cut_short_is_incomplete(client: openai.OpenAI) -> None:
    asked: Any = {"model": "small", "input": "Tell me a long story.", "max_output_tokens": 3}
    found = client.responses.create(**asked)
    assert found.status == "incomplete"
    assert found.incomplete_details is not None
    assert found.incomplete_details.reason == "max_output_tokens"
    with client.responses.create(**asked, stream=True) as events:
        last = list(events)[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("truncation", "auto"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("reasoning", {"effort": "low", "summary": "auto"}),
        ("tools", [{"type": "web_search"}]),
        ("include", ["reasoning.encrypted_content"]),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
        ("background", True),  # there is no worker here
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    client: openai.OpenAI, param: str, value: Any
) -> None:
    asked: dict[str, Any] = {"model": "auto", "input": "Hi", param: value}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**asked)
    assert caught.value.param is not None
    assert caught.value.param.split(".")[0] == param


def test_what_was_before_must_be_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="auto", input="Hi", previous_response_id="resp_nothing")
    assert caught.value.code == "previous_response_not_found"
    made = client.responses.create(model="auto", input="What is 1 + 1?")
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(made.id)
