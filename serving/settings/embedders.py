"""What a tier's settings must be so that it can embed, and that it can't where it only embeds."""

from serving.settings.local import LocalEngine
from serving.settings.tiers import AnthropicEngine, TierSettings
from serving.settings.vllm import VllmEngine

_OF_CHATS = ("effort", "gate", "output")
_OF_VLLM_CHATS = ("adapters", "tool_parser", "reasoning_parser", "images", "image_hosts")


def check_tier(tier: TierSettings) -> None:
    """`ValueError` where its backend answers no chats."""
    if isinstance(tier.backend, LocalEngine):
        raise ValueError(  # noqa: TRY004 - what pydantic reports
            f"tiers.{tier.name}: engine local makes vectors only; put it under `embedders`"
        )


def check_embedder(embedder: TierSettings) -> None:
    """`ValueError` where its backend makes no vectors, or where a setting would have no effect."""
    where, backend = f"embedders.{embedder.name}", embedder.backend
    if isinstance(backend, AnthropicEngine):
        raise ValueError(  # noqa: TRY004 - what pydantic reports
            f"{where}: Anthropic's API has no embeddings; use local, vllm, openai or mock"
        )
    useless = [name for name in _OF_CHATS if name in embedder.model_fields_set]
    if isinstance(backend, VllmEngine):
        useless += [f"backend.{n}" for n in _OF_VLLM_CHATS if n in backend.model_fields_set]
    if useless:
        raise ValueError(f"{where}: {', '.join(useless)} has no meaning for an embedder")
