"""What a client sees of one request: the real SDK, which must understand whatever comes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import openai

from tests.bench.hosted.traffic import Asked

Word = Literal["answered", "error", "error event", "left", "lost"]


@dataclass(frozen=True, slots=True)
class Fate:
    """`error` is an HTTP error with OpenAI's body, `error event` one inside a stream; `why` is
    either's code. `lost` is everything else that is no whole answer.
    """

    word: Word
    why: str = ""


async def ask(client: openai.AsyncOpenAI, asked: Asked) -> Fate:
    try:
        if asked.stream:
            return await _stream(client, asked)
        return await _whole(client, asked)
    except openai.APIStatusError as error:
        return _clear("error", error.body)
    except openai.APIConnectionError as error:
        return Fate("lost", f"{type(error).__name__}: {error.__cause__!r}")
    except openai.APIError as error:
        return _clear("error event", error.body)
    except Exception as error:  # whatever the SDK does not understand
        return Fate("lost", repr(error))


def _clear(word: Word, body: object) -> Fate:
    """`lost` where it is not OpenAI's form of an error."""
    if not isinstance(body, Mapping) or not {"message", "type", "param", "code"} <= body.keys():
        return Fate("lost", f"an error of another form: {body!r}")
    if not body["message"] or not body["type"]:
        return Fate("lost", f"an error that says nothing: {body!r}")
    return Fate(word, str(body["code"]))


async def _whole(client: openai.AsyncOpenAI, asked: Asked) -> Fate:
    leaves_s = None if asked.leaves_at is None else asked.leaves_at / 100
    try:
        async with asyncio.timeout(leaves_s):
            answer: Any = await client.chat.completions.create(**asked.body())
    except TimeoutError:
        return Fate("left")
    choice = answer.choices[0]
    whole = choice.message.content and choice.finish_reason == "stop" and answer.usage
    return Fate("answered") if whole else Fate("lost", f"half an answer: {choice.finish_reason}")


async def _stream(client: openai.AsyncOpenAI, asked: Asked) -> Fate:
    text, finish, usage, chunks = "", None, None, 0
    stream: Any = await client.chat.completions.create(**asked.body())
    async with stream:
        async for chunk in stream:
            if chunks == asked.leaves_at:
                return Fate("left")
            chunks += 1
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
    whole = text and finish == "stop" and usage
    return Fate("answered") if whole else Fate("lost", f"half a stream: {finish}")
