"""An embedder or tokenizer in another process answers as one in this process does."""

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from serving.backend import Call
from serving.engines.mock.tokenize import MockTokenizer
from serving.engines.remote.aside import METHOD, AsideHost, HandleEmbedder, HandleTokenizer
from serving.errors import (
    StepwellError,
    TierQueueFull,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.embeddings import EmbeddingRequest, Embeddings
from serving.wire.tokenize import DetokenizeRequest, TokenizeRequest
from tests.serving.engines.embedders import USAGE, Embeds, asking, wanted
from tests.serving.engines.helpers import engine, tier

TOKENIZER = MockTokenizer(tier(engine(), "mini"))


class BackPressureError(Exception):
    """Has the name of Ray's own."""


class Response:
    def __init__(self, work: Any) -> None:
        self.task = asyncio.ensure_future(work)

    def __await__(self) -> Any:
        return self.task.__await__()

    def cancel(self) -> None:
        self.task.cancel()


class Wire:
    """A handle to a host in this process; all that crosses is pickled, as it is in Ray."""

    def __init__(
        self, host: AsideHost, *, raises: Exception | None = None, replicas: int | None = None
    ) -> None:
        self.host = host
        self.raises = raises
        self.set: dict[str, Any] = {}
        self.responses: list[Response] = []
        if replicas is not None:
            router = SimpleNamespace(
                running_replicas_populated=lambda: True,
                request_router=SimpleNamespace(curr_replicas=range(replicas)),
            )
            self._router = SimpleNamespace(_asyncio_router=router)

    def options(self, **options: Any) -> "Wire":
        self.set |= options
        return self

    def remote(self, *crossing: Any) -> Response:
        self.responses.append(Response(self._answer(pickle.dumps(crossing))))
        return self.responses[-1]

    async def _answer(self, crossing: bytes) -> Any:
        if self.raises is not None:
            raise self.raises
        return pickle.loads(pickle.dumps(await self.host.ask(*pickle.loads(crossing))))


class Leaves(Embeds):
    """Leaves a note and a dropped parameter."""

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        call.trace.note("tier", "noted", "as it was")
        call.trace.drop(("odd",))
        return await super().embed(request, call)


def host(embedder: Embeds | None = None) -> AsideHost:
    return AsideHost({"mini": embedder or Embeds()}, {"mini": TOKENIZER})


async def test_vectors_cross_with_their_notes() -> None:
    inner = Leaves()
    wire = Wire(host(inner))
    call = asking(session="s", urgency="offline")
    request = wanted("é", "b", dimensions=8, params={"x": [1]})
    made = await HandleEmbedder(wire, "mini").embed(request, call)
    assert made == await Embeds().embed(request, call)
    assert inner.asked == [request]
    (theirs,) = inner.calls
    assert (theirs.tenant, theirs.session, theirs.urgency) == ("acme", "s", "offline")
    assert theirs.remaining == pytest.approx(call.remaining, abs=0.5)
    assert call.trace.dropped == ["odd"]
    assert [d.decision for d in call.trace.decisions] == ["noted"]
    assert wire.set["method_name"] == METHOD
    assert made.usage == USAGE


async def test_tokens_cross() -> None:
    remote = HandleTokenizer(Wire(host()), "mini")
    chat = {"messages": [{"role": "user", "content": "Hi"}], "return_token_strs": True}
    for body in ({"prompt": "Hello there"}, chat):
        asked = TokenizeRequest.model_validate(body)
        assert await remote.tokenize(asked, asking()) == await TOKENIZER.tokenize(asked, asking())
    with pytest.raises(TierRejected, match="no vocabulary"):
        await remote.detokenize(DetokenizeRequest(tokens=[1]), asking())


async def test_an_error_arrives_as_what_it_was() -> None:
    wire = Wire(host(Embeds(TierRateLimited("slow", param="input", retry_after=7))))
    with pytest.raises(TierRateLimited) as caught:
        await HandleEmbedder(wire, "mini").embed(wanted(), asking())
    found = caught.value
    assert (found.message, found.param, found.retry_after) == ("slow", "input", 7)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(BackPressureError(), TierQueueFull), (RuntimeError("gone"), TierUnavailable)],
)
async def test_what_ray_raises(raised: Exception, kind: type[StepwellError]) -> None:
    with pytest.raises(kind):
        await HandleEmbedder(Wire(host(), raises=raised), "mini").embed(wanted(), asking())


async def test_an_unforeseen_fault_says_no_more_than_its_kind() -> None:
    wire = Wire(host(Embeds(KeyError("a secret text"))))
    with pytest.raises(TierUnavailable) as caught:
        await HandleEmbedder(wire, "mini").embed(wanted(), asking())
    assert "secret" not in caught.value.message


async def test_leaving_and_running_late_stop_it_there() -> None:
    wire = Wire(host(hanging := Embeds(hang=True)))
    with pytest.raises(TierTimeout):
        await HandleEmbedder(wire, "mini").embed(wanted(), asking(0.05))
    hanging.called.clear()
    task = asyncio.create_task(HandleEmbedder(wire, "mini").embed(wanted(), asking()))
    await hanging.called.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert all(response.task.cancelled() for response in wire.responses)
    assert len(wire.responses) == 2


async def test_without_a_replica_it_fails_at_once_unless_it_sleeps() -> None:
    nobody = Wire(host(), replicas=0)
    away = HandleEmbedder(nobody, "mini")
    assert not away.started
    with pytest.raises(TierUnavailable, match="no replica"):
        await away.embed(wanted(), asking())
    with pytest.raises(TierUnavailable, match="no replica"):
        await HandleTokenizer(nobody, "mini").tokenize(TokenizeRequest(prompt="x"), asking())
    asleep = HandleEmbedder(nobody, "mini", sleeps=True)
    assert asleep.started
    assert (await asleep.embed(wanted(), asking())).vectors
    assert HandleEmbedder(Wire(host(), replicas=1), "mini").started
