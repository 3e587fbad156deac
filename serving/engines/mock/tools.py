"""Tool calls: which of the offered tools a request asks for, and arguments for them.

A tool matches when all words of its name, or at least two of its description, stand in the last
user message, plural `s` aside. With `tool_choice` auto the matching tools are called, all of them
unless `parallel_tool_calls` is false; `required` and a named choice call a tool in any case. After
a tool's result the mock answers in text, unless a call is still demanded.
"""

import re
from typing import Any

from serving.engines.mock import structured
from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.reading import Reading, keywords_of, words_of
from serving.engines.mock.words import TOOL_VERBS
from serving.wire.chat import ChatRequest, FunctionDefinition, NamedToolChoice
from serving.wire.completion import ToolCallPart

MAX_CALLS = 4
MAX_TOOLS_READ = 128

_NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def chosen(request: ChatRequest, reading: Reading) -> tuple[FunctionDefinition, ...]:
    """The functions that a right answer calls, none for an answer in text."""
    offered = [t.function for t in (request.tools or ())[:MAX_TOOLS_READ] if t.function is not None]
    choice = request.tool_choice
    if not offered or choice == "none":
        return ()
    if isinstance(choice, NamedToolChoice):
        return tuple(f for f in offered if f.name == choice.function.name)[:1]
    if choice != "required" and request.messages[-1].role in {"tool", "function"}:
        return ()
    found = _matching(offered, reading)
    if not found:
        return (offered[0],) if choice == "required" else ()
    return tuple(found[: 1 if request.parallel_tool_calls is False else MAX_CALLS])


def _matching(offered: list[FunctionDefinition], reading: Reading) -> list[FunctionDefinition]:
    """Best match first."""
    said = {_stem(w) for w in reading.words}
    scored = []
    for function in offered:
        name = {_stem(w.lower()) for w in _NAME_WORD.findall(function.name)}
        telling = name - TOOL_VERBS
        words = keywords_of(words_of(function.description or ""), limit=40)
        shared = len({_stem(w) for w in words} & said)
        if (telling and telling <= said) or shared >= 2:
            scored.append((2 * len(telling & said) + shared, function))
    scored.sort(key=lambda pair: -pair[0])
    return [function for _, function in scored]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def parameters(function: FunctionDefinition) -> dict[str, Any]:
    return function.parameters or {"type": "object"}


def true_calls(
    functions: tuple[FunctionDefinition, ...], key: bytes, reading: Reading
) -> tuple[ToolCallPart, ...]:
    """Calls whose arguments satisfy each function's schema; ids depend on the request alone."""
    return tuple(
        ToolCallPart(
            index=i,
            id=f"call_{derive(key, 'call', i).hex()[:24]}",
            name=f.name,
            arguments=structured.true_json(parameters(f), derive(key, f.name), reading.keywords),
        )
        for i, f in enumerate(functions)
    )


def wrong_calls(
    functions: tuple[FunctionDefinition, ...],
    truth: tuple[ToolCallPart, ...],
    reading: Reading,
    sample: bytes,
) -> tuple[ToolCallPart, ...]:
    """The same calls, one of them with arguments that are wrong or break the schema."""
    at = Draws(derive(sample, "wrong call")).between(0, len(truth) - 1)
    schema = parameters(functions[at])
    arguments = structured.wrong_json(schema, truth[at].arguments, reading.keywords, sample)
    wrong = ToolCallPart(at, truth[at].id, truth[at].name, arguments)
    return (*truth[:at], wrong, *truth[at + 1 :])
