"""The mock's tokens: pieces of text of up to seven letters or three digits.

A token is a run of up to seven letters or three digits or one sign, each with the space before
it, or a run of white space. English text comes to about four characters a token. Tokens joined
give the text back exactly.
"""

import re

from serving.wire.chat import ChatRequest
from serving.wire.render import dumps

_TOKEN = re.compile(r" ?[^\W\d_]{1,7}| ?\d{1,3}| ?[^\w\s]|_|\s+|.", re.DOTALL)
_COUNTED_CHARS = 32_768
_PER_MESSAGE = 4
_PER_REQUEST = 3


def tokens(text: str) -> list[str]:
    """The tokens of `text`, in time linear in its length."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """The number of tokens; beyond 32,768 characters in proportion to those."""
    if len(text) <= _COUNTED_CHARS:
        return len(tokens(text))
    return round(len(tokens(text[:_COUNTED_CHARS])) * len(text) / _COUNTED_CHARS)


def prompt_tokens(request: ChatRequest) -> int:
    """Tokens of the messages (four more for each), of tool definitions and schema as JSON."""
    total = _PER_REQUEST
    for message in request.messages:
        total += _PER_MESSAGE + count(message.text)
        for call in message.tool_calls or ():
            if call.function is not None:
                total += count(call.function.name) + count(call.function.arguments)
    for tool in request.tools or ():
        total += count(dumps(tool.model_dump(mode="json", exclude_unset=True)).decode())
    if request.response_format is not None and request.response_format.json_schema is not None:
        schema = request.response_format.json_schema.json_schema
        total += count(dumps(schema).decode())
    return total
