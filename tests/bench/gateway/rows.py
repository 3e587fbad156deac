"""What is measured: one row per path through the gateway."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.bench.gateway import canned

Upstream = Literal["none", "called"]
PROMPTS = 40
WHAT = ("card", "refund", "invoice", "parcel", "password", "account", "order", "subscription")
ASKED = (
    "How long does it take until my {} is here, number {}?",
    "Can you tell me where I see my {} in the app, case {}?",
    "I can't find my {} any more, what do I do with file {}?",
    "Please change the address of my {} with the number {}.",
    "Who do I ask about my {} if nobody answers, ticket {}?",
)


@dataclass(frozen=True, slots=True)
class Row:
    """`stepwell` and `litellm` are what each is sent beside the messages. `upstream`: whether the
    path leads to the trivial upstream, which is checked: Stepwell's and LiteLLM's.
    """

    name: str
    title: str
    stepwell: Mapping[str, Any]
    litellm: Mapping[str, Any]
    upstream: tuple[Upstream, Upstream]
    kind: Literal["answer", "burst", "paced"] = "answer"
    cached: bool = False

    @property
    def stream(self) -> bool:
        return self.kind != "answer"

    def bodies(self, extra: Mapping[str, Any]) -> list[bytes]:
        """Chat requests of customer-service length, one line each."""
        pace = " (paced)" if self.kind == "paced" else ""
        texts = [ask.format(what, 41 + i) for i, what in enumerate(WHAT) for ask in ASKED]
        stream = {"stream": True, "stream_options": {"include_usage": True}} if self.stream else {}
        return [
            json.dumps({**extra, "messages": [{"role": "user", "content": t + pace}], **stream})
            .encode()
            for t in texts[:PROMPTS]
        ]  # fmt: skip


HOSTED = {"model": "hosted"}
ROWS = (
    Row(
        "hit",
        "exact cache hit",
        {"model": "auto", "metadata": {"task": "cached"}},
        {"model": "upstream"},
        ("none", "none"),
        cached=True,
    ),
    Row(
        "mock",
        "one-hop tier: mock tier; LiteLLM: the upstream, in OpenAI's form",
        {"model": "auto"},
        {"model": "upstream"},
        ("none", "called"),
    ),
    Row(
        "in-process",
        "mock tier; LiteLLM: its own `mock_response`, no hop",
        {"model": "auto"},
        {"model": "canned"},
        ("none", "none"),
    ),
    Row("hosted", "hosted path, Anthropic's form", HOSTED, HOSTED, ("called", "called")),
    Row(
        "stream",
        f"hosted path, stream of {canned.BURST_TOKENS} tokens at once",
        HOSTED,
        HOSTED,
        ("called", "called"),
        kind="burst",
    ),
    Row(
        "paced",
        f"hosted path, stream at {canned.PACED_TOKENS_PER_S} tokens/s",
        HOSTED,
        HOSTED,
        ("called", "called"),
        kind="paced",
    ),
    Row(
        "mock-stream",
        "mock tier, stream as fast as it comes; LiteLLM: the upstream, in OpenAI's form",
        {"model": "auto"},
        {"model": "upstream"},
        ("none", "called"),
        kind="burst",
    ),
)
