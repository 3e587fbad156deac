"""How many tokens a text or request has, roughly, without a tokenizer.

The estimate weighs classes of bytes, so that it takes about a nanosecond per byte and no more,
whatever the text. The weights fit byte-pair encodings of 100,000 and more entries: English prose
comes to 4.7 characters per token, code and JSON to about 3, Chinese and Japanese to one token per
character. Expect it within 25% for prose; a hosted call's real usage replaces it afterwards.
"""

import math
from collections.abc import Sequence

import orjson

from serving.wire.chat import ChatRequest, ContentPart, Message, Tool
from serving.wire.completion import Usage

LOWER = b"abcdefghijklmnopqrstuvwxyz"
UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = b"0123456789"
SPACES = b" \t\r"
ASCII_BYTES = bytes(range(128))
PUNCTUATION = bytes(b for b in range(128) if b not in LOWER + UPPER + DIGITS + SPACES + b"\n")

# Tokens per byte of a class. Long runs of small letters are whole words; capitals, digits and
# punctuation split them; a line break is mostly a token of its own, runs of spaces are one.
WEIGHTS = (
    (LOWER, 0.2),
    (UPPER, 0.35),
    (DIGITS, 0.5),
    (SPACES, 0.2),
    (b"\n", 0.5),
    (PUNCTUATION, 0.75),
)
NON_ASCII_WEIGHT = 0.34

TOKENS_PER_MESSAGE = 4  # role and delimiters, as chat templates add them
TOKENS_PER_TOOL = 12
TOKENS_PER_REQUEST = 3  # what primes the answer
TOKENS_PER_IMAGE = 1_600  # what Claude and GPT count for an image of 1 to 1.5 megapixels
TOKENS_PER_OTHER_PART = 3_000  # a page or two of a document, five minutes of speech

# Tokenizers differ by up to 30% for the same text, and the estimate adds its own error.
MARGIN = 1.5
TOKENS_IN_FLIGHT = 64  # generated, and billed, before the tier learns that nobody reads on


def estimate_tokens(text: str) -> int:
    """The tokens of `text`, at least 1 unless it is empty."""
    if not text:
        return 0
    data = text.encode("utf-8", "surrogatepass")
    size = len(data)
    total = NON_ASCII_WEIGHT * len(data.translate(None, ASCII_BYTES))
    for members, weight in WEIGHTS:
        total += weight * (size - len(data.translate(None, members)))
    return max(1, math.ceil(total))


def estimate_request_tokens(request: ChatRequest) -> int:
    """The prompt tokens of `request`: its messages, tools, images and response schema."""
    texts: list[str] = []
    fixed = TOKENS_PER_REQUEST + TOKENS_PER_MESSAGE * len(request.messages)
    fixed += sum(_message(m, texts) for m in request.messages)
    fixed += sum(_tool(t, texts) for t in request.tools or ())
    shape = request.response_format
    if shape is not None and shape.json_schema is not None:
        texts.append(_json(shape.json_schema.json_schema))
    # Weighed once for all: a long conversation has many short texts.
    return fixed + estimate_tokens("".join(texts))


def estimate_message_tokens(messages: Sequence[Message]) -> int:
    """The prompt tokens of some of a request's messages."""
    texts: list[str] = []
    fixed = TOKENS_PER_MESSAGE * len(messages) + sum(_message(m, texts) for m in messages)
    return fixed + estimate_tokens("".join(texts))


def upper_bound(
    request: ChatRequest, *, output: str | None, max_output_tokens: int, thinking_tokens: int = 0
) -> Usage:
    """What an attempt can have used at most when its tier reported nothing, flagged as estimated.

    `output` is what has arrived of an answer that broke off; None where the whole answer may have
    been generated unseen, up to `max_output_tokens` per choice. `thinking_tokens` may have been
    spent on thoughts beyond that, per choice, whether or not they were shown.
    """
    prompt = math.ceil(estimate_request_tokens(request) * MARGIN)
    most = max_output_tokens * request.choices_asked
    if output is not None:
        most = min(most, math.ceil(estimate_tokens(output) * MARGIN) + TOKENS_IN_FLIGHT)
    most += thinking_tokens * request.choices_asked
    return Usage(prompt_tokens=prompt, completion_tokens=most, estimated=True)


def _message(message: Message, texts: list[str]) -> int:
    """Adds the message's texts to `texts`; returns the tokens of what has none."""
    fixed = 0
    if isinstance(message.content, str):
        texts.append(message.content)
    else:
        for part in message.content or ():
            if part.text is not None:
                texts.append(part.text)
            else:
                fixed += _without_text(part)
    for call in message.tool_calls or ():
        if call.function is not None:
            fixed += TOKENS_PER_TOOL
            texts += (call.function.name, call.function.arguments)
    texts += (message.name or "", message.refusal or "")
    return fixed


def _without_text(part: ContentPart) -> int:
    return TOKENS_PER_IMAGE if part.type in {"image_url", "image"} else TOKENS_PER_OTHER_PART


def _tool(tool: Tool, texts: list[str]) -> int:
    function = tool.function
    if function is None:
        texts.append(_json(tool.model_extra))
    else:
        texts += (function.name, function.description or "", _json(function.parameters))
    return TOKENS_PER_TOOL


def _json(value: object) -> str:
    """A JSON value as it stands in a prompt. What orjson cannot write (integers beyond 64 bits,
    lone surrogates) is so rare that Python's own notation will do for its length.
    """
    if not value:
        return ""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return repr(value)
