import time

from hypothesis import given
from hypothesis import strategies as st

from serving.engines.mock.tokenizer import count, prompt_tokens, tokens
from tests.serving.engines.helpers import ask

PROSE = "The quick brown fox jumps over the lazy dog, and nobody is surprised any more. "


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_about_four_characters_a_token() -> None:
    assert 3.5 < len(PROSE) / count(PROSE) < 5.5


def test_long_texts_are_counted_in_proportion() -> None:
    text = PROSE * 5_000
    assert abs(count(text) - len(tokens(text))) < 0.01 * count(text)


def test_hostile_texts_take_linear_time() -> None:
    began = time.perf_counter()
    for text in (" " * 1_000_000, "a" * 1_000_000, "_" * 1_000_000, "\n " * 500_000):
        assert count(text) > 0
    assert time.perf_counter() - began < 2


def test_prompt_counts_messages_tools_calls_and_schema() -> None:
    plain = prompt_tokens(ask("hello there"))
    assert plain == 3 + 4 + 2
    function = {"name": "get_weather", "parameters": {"type": "object"}}
    tools = prompt_tokens(ask("hello there", tools=[{"type": "function", "function": function}]))
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert tools > plain + 10
    assert prompt_tokens(ask("hello there", response_format=schema)) > plain + 5
    called = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turns = [
        {"role": "user", "content": "hello there"},
        {"role": "assistant", "tool_calls": [called]},
    ]
    assert prompt_tokens(ask(messages=turns)) > plain + 4


def test_surrogates_and_huge_integers_are_counted() -> None:
    schema = {"type": "integer", "maximum": 10**40, "description": "\ud800"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert prompt_tokens(ask("\ud800", response_format=form)) > 20
