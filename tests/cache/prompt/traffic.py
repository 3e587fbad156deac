"""Requests of one feature, as the planner shows them to its watch."""

from cache.prompt.canonical import Canonicaliser
from cache.prompt.invalidators import Found, Looked, Watch
from cache.prompt.sent import Sent, SentRequests
from serving.wire.chat import ChatRequest
from tests.cache.prompt.helpers import chain_of


class Traffic:
    """Feeds requests of one feature to a watch, as the planner does."""

    def __init__(self, feature: str = "support", tenant: str = "acme") -> None:
        self.watch, self.sent = Watch(), SentRequests()
        self.feature, self.tenant = feature, tenant

    def send(self, request: ChatRequest) -> list[Found]:
        canonical, chain = Canonicaliser()(request), chain_of(request, tenant=self.tenant)
        earlier = self.sent.earlier(self.tenant, self.feature, chain)
        looked = Looked(self.tenant, self.feature, chain, canonical.tools, earlier)
        found = self.watch.look(looked)
        self.sent.keep(self.tenant, self.feature, Sent(chain))
        return found
