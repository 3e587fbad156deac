"""A backend's stream as the events of Anthropic's stream."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from serving.backend import Backend, Call
from serving.hosted.emulator.ids import new_id
from serving.hosted.emulator.parse import to_chat
from serving.hosted.emulator.prompt_cache import CachePlan
from serving.hosted.emulator.thinking import Thinking
from serving.hosted.emulator.wire import MessagesRequest
from serving.hosted.emulator.writer import Event, Frame, Writer
from serving.hosted.models import ModelAbility


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a batch a request stands. `cold`: it does not reach the prompt cache."""

    batch_id: str
    custom_id: str
    cold: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One request that passed every check, and what is known before it is answered. `begin` is
    called when the response begins; `signature` signs the thinking; `stop` is a stop reason that
    ends the answer early; `place` is set where the request belongs to a batch.
    """

    request: MessagesRequest
    ability: ModelAbility
    backend: Backend
    call: Call
    plan: CachePlan
    thinking: Thinking | None
    signature: str
    begin: Callable[[], None]
    message_id: str = field(default_factory=lambda: new_id("msg"))
    diagnostics: dict[str, Any] | None = None
    stop: str | None = None
    place: Place | None = None


class Answer:
    """The answer to one job. `begun` and `output_tokens` say at any time, and also of an answer
    that broke off, whether there is something to bill and how much was generated.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        frame = Frame(
            job.message_id,
            job.plan,
            diagnostics=job.diagnostics,
            tier="standard" if job.place is None else "batch",
        )
        self._writer = Writer(
            job.request,
            job.ability,
            frame,
            thinking=job.thinking,
            signature=job.signature,
            forced=job.stop,
        )
        self.begun = False

    @property
    def output_tokens(self) -> int:
        return self._writer.output_tokens

    async def parts(self) -> AsyncGenerator[list[Event], None]:
        """The events of one message, from `message_start` to `message_stop`, as many at a time as
        come of one chunk. Errors of the backend before its first chunk come before any event.
        """
        job, writer = self._job, self._writer
        if writer.room:  # else only the cache is filled, or thinking leaves nothing for an answer
            chat = to_chat(job.request, writer.room)
            async with aclosing(job.backend.stream(chat, job.call)) as chunks:
                async for chunk in chunks:
                    head = [] if self.begun else self._begin()
                    made = head + writer.write(chunk)
                    if made:
                        yield made
                    if writer.done:
                        break
        if not self.begun:
            yield self._begin()
        yield writer.close()

    def _begin(self) -> list[Event]:
        self.begun = True
        self._job.begin()
        return self._writer.open()
