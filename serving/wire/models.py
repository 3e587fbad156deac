"""OpenAI's model list."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A name that a client may send as `model`. `created` is Unix seconds; `details` is JSON and
    stands under `stepwell`, beside OpenAI's own fields.
    """

    id: str
    created: int
    owned_by: str = "stepwell"
    details: Mapping[str, Any] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": self.owned_by,
            "stepwell": dict(self.details),
        }


def model_list(cards: Iterable[ModelCard]) -> dict[str, Any]:
    return {"object": "list", "data": [card.wire() for card in cards]}
