"""A line desk with a small cascade of its own: what is easy is answered below, what is hard waits
for a provider's batch.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from serving.batch.values import LineAnswer, Owner, Parked, Resumed
from serving.batches import BatchResult
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage

TIER = "top"
MODEL = "claude-opus-5-5"


def request_of(text: str, system: str = "") -> ChatRequest:
    head = [{"role": "system", "content": system}] if system else []
    messages = [*head, {"role": "user", "content": text}]
    body = {"model": MODEL, "max_completion_tokens": 200, "messages": messages}
    return ChatRequest.model_validate(body)


@dataclass
class Desk:
    """Lines whose text begins with `hard` are parked; of those, ones that say `twice` again after
    the first result. `live` and `results` say what each line was answered with; `saw` is called
    where a line goes on.
    """

    live: Counter[str] = field(default_factory=Counter)
    results: dict[str, list[BatchResult]] = field(default_factory=dict)
    saw: Callable[[str], None] = lambda _text: None

    def check(self, line: bytes, endpoint: str, owner: Owner) -> str:
        return str(orjson.loads(line)["custom_id"])

    async def answer(
        self,
        line: bytes,
        endpoint: str,
        owner: Owner,
        *,
        deadline_s: float,
        parks: frozenset[str] = frozenset(),
        resumed: Resumed | None = None,
    ) -> LineAnswer | Parked:
        found = orjson.loads(line)
        messages = found["body"]["messages"]
        text = messages[-1]["content"]
        turn = 0 if resumed is None else json.loads(resumed.journal)["turn"]
        if resumed is not None:
            self.saw(text)
            if resumed.result is not None:
                self.results.setdefault(found["custom_id"], []).append(resumed.result)
        answered = resumed is not None and resumed.result is not None
        again = "twice" in text and turn == 1
        if text.startswith("hard") and (again or not answered) and TIER in parks:
            return _parked(owner.tenant, found, turn + 1)
        if resumed is not None and resumed.result is not None:
            return _from_result(resumed.result)
        self.live[found["custom_id"]] += 1
        return _answer(200, "live" if text.startswith("hard") else "below")


def _parked(tenant: str, line: dict[str, Any], turn: int) -> Parked:
    messages = line["body"]["messages"]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    prefix = sha256(f"{tenant} {system}".encode()).hexdigest()[:32]
    journal = json.dumps({"turn": turn}).encode()
    request = request_of(messages[-1]["content"], system)
    return Parked(TIER, request, prefix, journal, f"req-{line['custom_id']}", output_tokens=30)


def _from_result(result: BatchResult) -> LineAnswer:
    if result.completion is None:
        return _answer(502, f"error {result.error and result.error.code}")
    usage = result.completion.usage
    answer = _answer(200, str(result.completion.first.content))
    return LineAnswer(200, "req", answer.body, usage=usage, tier=TIER, cost_usd=result.cost_usd)


def _answer(status: int, text: str) -> LineAnswer:
    return LineAnswer(status, "req", orjson.dumps({"text": text}), usage=Usage(5, 1))
