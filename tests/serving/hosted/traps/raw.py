"""What the API says to a request that no adapter has looked after."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic

from tests.serving.hosted.fakes import OPUS


class Raw:
    def __init__(self, sdk: anthropic.AsyncAnthropic) -> None:
        self._sdk = sdk

    async def refusal(self, model: str = OPUS, **fields: Any) -> str:
        """The message of the 400 that the API answers; an error where it answers anything else.
        `fields` go into the body whether or not the SDK knows them.
        """
        messages = fields.pop("messages", [{"role": "user", "content": "Hi"}])
        try:
            await self._sdk.messages.create(
                model=model, max_tokens=100, messages=messages, extra_body=fields
            )
        except anthropic.BadRequestError as error:
            return str(error.api_message)
        raise AssertionError("the API accepted it")


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Raw]:
    async with anthropic.AsyncAnthropic(api_key="emulator", base_url=url, max_retries=0) as sdk:
        yield Raw(sdk)
