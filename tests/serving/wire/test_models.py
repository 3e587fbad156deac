"""The model list's JSON."""

from serving.wire.models import ModelCard, model_list


def test_a_list_of_cards() -> None:
    card = ModelCard("small", 7, details={"price": None})
    assert model_list([card]) == {
        "object": "list",
        "data": [
            {
                "id": "small",
                "object": "model",
                "created": 7,
                "owned_by": "stepwell",
                "stepwell": {"price": None},
            }
        ],
    }
