"""One server and one client for all tests of a module, as in production: what one test leaves
behind must not harm the next.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from serving.engines.openai_compatible.adapter import OpenAICompatible
from tests.serving.engines.openai_compatible.fake import Fake, serving, settings


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with serving() as fake:
        yield fake


@pytest.fixture
def fake(server: Fake) -> Fake:
    server.reset()
    return server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(server: Fake) -> AsyncIterator[OpenAICompatible]:
    adapter = OpenAICompatible(settings(server.url))
    yield adapter
    await adapter.aclose()
