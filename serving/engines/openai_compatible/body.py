"""A request as the JSON body that an OpenAI-compatible server gets."""

from typing import Any

from serving.settings.tiers import OpenAIEngine
from serving.wire.chat import ChatRequest

PROVIDER = "openai"
"""Of `provider_content` that came from such a server: fields of its message unknown to us."""


def request_body(
    request: ChatRequest, model: str, engine: OpenAIEngine, *, stream: bool
) -> dict[str, Any]:
    """All that the client set, unknown parameters and message fields too, with these changes: the
    output limit under the name that the server knows; logprobs where the tier gives them, since
    the gate needs them; usage at the end of a stream; no nulls; no `metadata` unless the answer is
    to be stored or the config names it (OpenAI refuses it otherwise, and the tags are for us).
    """
    body = {k: v for k, v in request.wire().items() if v is not None}
    body["model"] = model
    for message in body["messages"]:
        _restore(message, model)
    limit = request.output_limit
    body.pop("max_tokens", None)
    body.pop("max_completion_tokens", None)
    if limit is not None:
        body[engine.max_tokens_param] = limit
    if engine.logprobs:
        body["logprobs"] = True
        top = max(engine.logprobs_top, request.top_logprobs or 0)
        if top:
            body["top_logprobs"] = top
    if "metadata" in body and not body.get("store") and "metadata" not in (engine.params or ()):
        del body["metadata"]
    options = body.pop("stream_options", {})
    body.pop("stream", None)
    if stream:
        body["stream"] = True
        body["stream_options"] = {**options, "include_usage": True}
    return body


def _restore(message: dict[str, Any], model: str) -> None:
    """Puts back what this model's own turn held beside the fields we know; other providers' blocks
    mean nothing here.
    """
    kept = message.pop("provider_content", None)
    if not isinstance(kept, dict) or kept.get("provider") != PROVIDER or kept.get("model") != model:
        return
    blocks = kept.get("content")
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, dict):
            message.update({k: v for k, v in block.items() if k not in message})
