from typing import Any

import pytest

from serving.errors import InvalidRequest, StepwellError, TierRejected
from serving.hosted.translate.blocks import Block, content_blocks
from serving.wire.chat import Message


def blocks(*parts: dict[str, Any], **message: Any) -> list[Block]:
    body = {"role": "user", "content": list(parts), **message}
    return content_blocks(Message.model_validate(body), "messages.0")


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_images_by_url_and_by_data() -> None:
    assert blocks(image("https://x.test/a.png")) == [
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    ]
    assert blocks(image("data:image/PNG;charset=x;base64,iVBO")) == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    ]


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (image("data:image/tiff;base64,AAAA"), TierRejected),
        (image("http://x.test/a.png"), TierRejected),
        (image("file:///etc/passwd"), InvalidRequest),
        ({"type": "image_url"}, InvalidRequest),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, TierRejected),
        ({"type": "file", "file": {"file_id": "file-1"}}, TierRejected),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,YQ=="}}, TierRejected),
        ({"type": "file", "file": {"file_data": "YQ=="}}, InvalidRequest),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, InvalidRequest),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,IA=="}}, InvalidRequest),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,*"}}, InvalidRequest),
    ],
)
def test_what_claude_cannot_take_is_named_by_its_place(
    part: dict[str, Any], error: type[StepwellError]
) -> None:
    with pytest.raises(error) as caught:
        blocks({"type": "text", "text": "look"}, part)
    assert caught.value.param == "messages.0.content.1"


def test_trap_23883_a_file_keeps_its_breakpoint() -> None:
    file = {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}
    control = {"type": "ephemeral", "ttl": "1h"}
    (block,) = blocks({"type": "file", "file": file, "cache_control": control})
    assert block == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        "title": "a.pdf",
        "cache_control": control,
    }


def test_files_are_documents_pdf_or_plain_text() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}
    plain = {"type": "text", "media_type": "text/plain", "data": "größer"}
    found = blocks(
        {"type": "file", "file": {"file_data": "JVBERi0x"}},  # as OpenAI's reference has it
        {
            "type": "file",
            "file": {"file_data": "data:text/plain;base64,Z3LDtsOfZXI=", "filename": ""},
        },
    )
    assert found == [{"type": "document", "source": pdf}, {"type": "document", "source": plain}]


@pytest.mark.parametrize(
    ("extra", "control"),
    [
        ({"cache_control": {"type": "ephemeral"}}, {"type": "ephemeral"}),
        ({"cache_control": {"type": "ephemeral", "ttl": "3d"}}, {"type": "ephemeral"}),
        (
            {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
            {"type": "ephemeral", "ttl": "1h"},
        ),
        ({"prompt_cache_breakpoint": {"mode": "explicit"}}, {"type": "ephemeral"}),
        ({"prompt_cache_breakpoint": {"mode": "auto"}}, None),
        ({"cache_control": "yes"}, None),
    ],
)
def test_breakpoints_of_either_api(extra: dict[str, Any], control: Block | None) -> None:
    (block,) = blocks({"type": "text", "text": "long", **extra})
    assert block.get("cache_control") == control


def test_text_without_a_visible_character_is_left_out_and_its_breakpoint_moves_back() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    found = blocks({"type": "text", "text": "a"}, {"type": "text", "text": " \n", **mark})
    assert found == [{"type": "text", "text": "a", **mark}]


def test_a_breakpoint_on_the_message_stands_on_its_last_block() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    first, last = blocks(*parts, cache_control={"type": "ephemeral"})
    assert "cache_control" not in first
    assert last["cache_control"] == {"type": "ephemeral"}
