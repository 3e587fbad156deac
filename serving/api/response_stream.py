"""A streamed response over HTTP."""

from serving.api.errors import client_error
from serving.api.exchange import Exchange
from serving.api.figures import trace_wire
from serving.api.prompt_log import PromptLog
from serving.api.response_keep import Keeper
from serving.api.streaming import EventStream
from serving.backend import Call, ChunkStream
from serving.settings.root import Settings
from serving.wire.responses.events import ResponseEvents
from serving.wire.responses.render import Head, failure


class ResponseStream(EventStream):
    """As `EventStream`; the response is stored before its last event leaves, also where it failed
    on its way.
    """

    def __init__(
        self,
        head: Head,
        keeper: Keeper,
        asked: tuple[Call, ChunkStream],
        *,
        exchange: Exchange,
        settings: Settings,
        log: PromptLog,
    ) -> None:
        trace, most = asked[0].trace, head.asked.logprobs_asked
        events = ResponseEvents(head, lambda chunk: trace.tier or chunk.model, top_logprobs=most)
        super().__init__([asked], events, exchange, settings, log)
        self._response_events = events
        self._head = head
        self._keeper = keeper

    async def _ending(self) -> bytes:
        closed = self._closing()
        body = await self._keeper.keep(self._head, self._response_events.final)
        return closed + self._response_events.end(body)

    async def _broken(self, error: Exception) -> bytes:
        exchange = self._exchange
        told = client_error(error, exchange)
        exchange.error = told.code or told.type
        trace = trace_wire(exchange.request_id, exchange.traces) if exchange.explain else None
        last = self._response_events.failed(failure(told.status, told.message, told.code), trace)
        await self._keeper.keep(self._head, self._response_events.final)
        return last
