from hypothesis import given
from hypothesis import strategies as st

from serving.hosted.emulator.tokens import IMAGE_TOKENS, block_tokens, text_tokens
from serving.hosted.emulator.wire import ImageBlock, TextBlock, ToolParam, ToolResultBlock


def test_words_and_marks_are_counted() -> None:
    assert text_tokens("Hello, world!") == 4
    assert text_tokens("") == 0
    assert text_tokens("internationalisation") == 4
    assert text_tokens("one two three", 1.3) == 4


@given(st.text(max_size=200))
def test_a_count_is_bounded_by_the_characters(text: str) -> None:
    assert 0 <= text_tokens(text) <= len(text)


def test_every_kind_of_block_has_a_count_that_no_breakpoint_changes() -> None:
    plain = TextBlock.model_validate({"type": "text", "text": "one two"})
    marked = TextBlock.model_validate(
        {"type": "text", "text": "one two", "cache_control": {"type": "ephemeral"}}
    )
    assert block_tokens(plain, 1.0) == block_tokens(marked, 1.0) == 4
    source = {"type": "url", "url": "https://x.test"}
    image = ImageBlock.model_validate({"type": "image", "source": source})
    assert block_tokens(image, 1.0) == IMAGE_TOKENS + 2
    result = {"type": "tool_result", "tool_use_id": "t", "content": "one two"}
    assert block_tokens(ToolResultBlock.model_validate(result), 1.0) == 4
    tool = ToolParam.model_validate({"name": "f", "input_schema": {"type": "object"}})
    assert block_tokens(tool, 1.0) > 5
