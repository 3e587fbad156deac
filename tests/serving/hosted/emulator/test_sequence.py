from typing import Any

import pytest

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.sequence import check_messages
from serving.hosted.emulator.wire import Prompt
from serving.hosted.models import catalog
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS

TOOL = {"name": "f", "input_schema": {"type": "object"}}


def said(role: str, *content: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]
    return {"role": role, "content": blocks}


def use(use_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": use_id, "name": "f", "input": {}}


def result(use_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use_id, "content": content}


def image(data: str = "aGk=") -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return {"type": "image", "source": source}


def check(*messages: Any, model: str = OPUS, tools: bool = True) -> None:
    body = {"model": model, "messages": list(messages), "tools": [TOOL] if tools else []}
    check_messages(Prompt.model_validate(body), catalog().ability(model))


@pytest.mark.parametrize(
    "messages",
    [
        [said("user", "a"), said("assistant", use("1")), said("user", result("1"), "b")],
        [said("user", "a"), said("user", "b")],
        [
            said("user", "a"),
            said("assistant", use("1"), use("2")),
            said("user", result("2")),
            said("user", result("1")),
        ],
        [
            said("user", "a"),
            said("assistant", use("1")),
            said("user", result("1", [{"type": "text", "text": "x"}, image()])),
            said("system", "rule"),
            said("system", "another"),
            said("assistant", "b"),
            said("user", {"type": "image", "source": {"type": "url", "url": "https://x.test"}}),
        ],
        [said("user", "a", image())],
    ],
)  # fmt: skip
def test_what_is_accepted(messages: list[Any]) -> None:
    check(*messages)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([said("assistant", "a"), said("user", "b")], "first message"),
        ([said("system", "a"), said("user", "b")], "first message"),
        ([said("user")], "non-empty content"),
        ([said("user", "")], "messages.0.content.0: text content blocks must be non-empty"),
        ([said("user", " \n")], "non-whitespace"),
        ([said("user", use("1"))], "`tool_use` blocks are not allowed in user turns"),
        ([said("user", "a"), said("assistant", image()), said("user", "b")], "not allowed"),
        ([said("user", "a"), said("assistant", use("1"))], "ids were found without"),
        ([said("user", "a"), said("assistant", use("1")), said("user", "b")], "without"),
        (
            [said("user", "a"), said("assistant", use("1"), use("2")), said("user", result("1"))],
            ": 2.",
        ),
        ([said("user", result("9"))], "unexpected `tool_use_id`"),
        (
            [said("user", "a"), said("assistant", use("1")),
             said("user", result("1"), result("1"))],
            "unexpected",
        ),
        (
            [said("user", "a"), said("assistant", use("1")), said("user", "b", result("1"))],
            "must come first",
        ),
        (
            [said("user", "a"), said("assistant", use("1"), use("1")), said("user", result("1"))],
            "unique",
        ),
        (
            [said("user", "a"), said("assistant", use("1")), said("system", "x"),
             said("user", result("1"))],
            "system message",
        ),
        ([said("user", "a"), said("system", "x"), said("user", "b")], "system message"),
        ([said("user", "a"), said("assistant", "b"), said("system", "x")], "system message"),
        ([said("user", image(data="!"))], "invalid base64"),
        ([said("user", image(data=""))], "10 MB"),
        (
            [said("user", {"type": "image", "source": {"type": "url", "url": "http://x.test"}})],
            "HTTPS",
        ),
        (
            [said("user", {"type": "text", "text": "x", "citations": [{"type": "y"}]})],
            "citations",
        ),
        ([said("user", "a"), said("assistant", "b")], "prefill"),
    ],
)  # fmt: skip
def test_what_is_refused(messages: list[Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        check(*messages)
    assert message in caught.value.message


def test_system_messages_need_a_model_that_takes_them() -> None:
    turns = [said("user", "a"), said("system", "x")]
    check(*turns)
    with pytest.raises(ApiError, match="not supported on this model"):
        check(*turns, model=HAIKU)


def test_trap_16525_tool_blocks_need_tools() -> None:
    turns = [said("user", "a"), said("assistant", use("1")), said("user", result("1"))]
    with pytest.raises(ApiError, match="must define tools"):
        check(*turns, tools=False)


def test_a_prefill_where_it_is_accepted_has_no_trailing_white_space() -> None:
    check(said("user", "a"), said("assistant", "It is"), model=OLD_HAIKU)
    with pytest.raises(ApiError, match="trailing whitespace"):
        check(said("user", "a"), said("assistant", "It is "), model=OLD_HAIKU)
