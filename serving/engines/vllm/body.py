"""The request as vLLM gets it. Pure."""

from typing import Any
from urllib.parse import urlsplit

from serving.backend import Call, new_id
from serving.errors import InvalidRequest
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine
from serving.wire.chat import ChatRequest

INTERACTIVE, OFFLINE = 0, 10
"""vLLM's priorities: the lower first."""

_OURS = ("metadata", "service_tier", "user", "stream")
_TEXT = frozenset({"text", "refusal"})


def to_vllm(
    request: ChatRequest, call: Call, tier: TierSettings, *, stream: bool
) -> dict[str, Any]:
    """A body for vLLM's chat endpoint. A prefix that one tenant has computed is found by that
    tenant alone (`cache_salt`); what waits for nobody is scheduled behind what somebody waits for.
    Logprobs are asked without alternatives unless the client wants some: each costs a decode.
    `InvalidRequest` for content that the tier does not take, URLs of other hosts included.
    """
    engine = tier.backend
    assert isinstance(engine, VllmEngine)
    body = request.wire()
    for name in _OURS:
        body.pop(name, None)
    body["messages"] = [_message(m, i, engine) for i, m in enumerate(body["messages"])]
    body["model"] = served_model(tier, call.task)
    body["stream"] = stream
    body["stream_options"] = {"include_usage": True} if stream else None
    body["request_id"] = new_id()  # an id may run once at a time, and a request may try twice
    body["cache_salt"] = call.tenant
    body["priority"] = INTERACTIVE if call.urgency == "interactive" else OFFLINE
    if request.logprobs:
        body["top_logprobs"] = request.top_logprobs or 0
    return body


def served_model(tier: TierSettings, task: str | None) -> str:
    """The name under which the engine knows the model, or the task's adapter on it."""
    engine = tier.backend
    assert isinstance(engine, VllmEngine)
    if engine.adapters is not None and task is not None and task in engine.adapters.tasks:
        return engine.adapters.tasks[task]
    return tier.model


def _message(message: dict[str, Any], index: int, engine: VllmEngine) -> dict[str, Any]:
    """`developer` is OpenAI's newer name of `system`, which chat templates know."""
    message = {k: v for k, v in message.items() if k != "provider_content"}
    if message["role"] == "developer":
        message["role"] = "system"
    if isinstance(message.get("content"), list):
        for at, part in enumerate(message["content"]):
            _check(part, f"messages[{index}].content[{at}]", engine)
    return message


def _check(part: dict[str, Any], where: str, engine: VllmEngine) -> None:
    """vLLM would fetch any URL in parts of several types, so only known ones pass."""
    kind = part["type"]
    if kind in _TEXT:
        return
    if kind != "image_url" or not engine.images:
        raise InvalidRequest(f"{where}: this tier takes no part of type {kind!r}", param="messages")
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise InvalidRequest(f"{where}: an image_url needs a 'url'", param="messages")
    if not allowed_image(url, engine.image_hosts):
        raise InvalidRequest(
            f"{where}: images must be inline (data:image/…) or come from "
            f"{', '.join(engine.image_hosts) or 'no other host'}",
            param="messages",
        )


def allowed_image(url: str, hosts: tuple[str, ...]) -> bool:
    """Inline, or by http(s) from one of `hosts`."""
    if url.startswith("data:image/"):
        return True
    try:
        found = urlsplit(url)
        host, named = found.hostname, found.username is not None
    except ValueError:
        return False
    return found.scheme in {"http", "https"} and not named and host in hosts
