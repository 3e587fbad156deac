import pytest

from serving.engines.mock.code import program
from serving.engines.mock.draws import Draws
from serving.engines.mock.reading import read
from tests.serving.engines.helpers import ask


@pytest.mark.parametrize(
    ("text", "fence"),
    [
        ("Write a python function", "python"),
        ("A SQL query, write a query", "sql"),
        ("Write a bash script", "bash"),
    ],
)
def test_code_comes_fenced(text: str, fence: str) -> None:
    answer = program(read(ask(text)), Draws(b"k"))
    assert answer.startswith(f"```{fence}\n")
    assert answer.count("```") == 2


def test_python_answers_parse() -> None:
    for words in ("sorts 3d models by naïve größe", "that that that", "yield lambda global async"):
        answer = program(read(ask(f"Write a python function {words}")), Draws(b"k"))
        compile(answer.split("```")[1].removeprefix("python\n"), "answer", "exec")
