"""The models and GPUs that are known by name, read from the YAML files beside this one."""

import functools
from pathlib import Path

from pydantic import Field, model_validator

from serving.engines.vllm.shapes import PLAIN, Shape, Weights
from serving.settings.base import Frozen
from serving.settings.load import load_model


class Format(Weights):
    """`suffixes` of a repository's name and values of `quantization` that mean these weights."""

    suffixes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def weights(self) -> Weights:
        return Weights(name=self.name, bits=self.bits)


class Known(Frozen):
    """The file of shapes. Names are looked up regardless of case."""

    shapes: tuple[Shape, ...] = Field(min_length=1)
    checkpoints: dict[str, tuple[str, ...]]
    formats: tuple[Format, ...]

    @model_validator(mode="after")
    def _unique(self) -> "Known":
        shapes = [s.name for s in self.shapes]
        for name in self.checkpoints.keys() - set(shapes):
            raise ValueError(f"checkpoints.{name}: no such shape")
        names = [n.lower() for n in (*shapes, *(c for cs in self.checkpoints.values() for c in cs))]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"checkpoints: {', '.join(twice)} stands twice")
        return self

    def shape(self, checkpoint: str) -> Shape | None:
        """Of a checkpoint's name without owner and format; None where it is not known."""
        wanted = checkpoint.lower()
        for shape in self.shapes:
            names = (shape.name, *self.checkpoints.get(shape.name, ()))
            if wanted in {n.lower() for n in names}:
                return shape
        return None

    def split(self, repository: str) -> tuple[str, Weights]:
        """A repository's name, or a path that ends like one, as the checkpoint and its format."""
        name = repository.rstrip("/").rsplit("/", 1)[-1]
        for found in self.formats:
            for suffix in found.suffixes:
                if name.lower().endswith(suffix.lower()):
                    return name[: -len(suffix)], found.weights
        return name, PLAIN

    def loaded_as(self, quantization: str) -> Weights | None:
        """What the setting `quantization` makes of plain weights; None where it doesn't say."""
        return next((f.weights for f in self.formats if quantization in f.settings), None)


class Gpus(Frozen):
    """GiB by Ray's accelerator type."""

    gpus: dict[str, float]


@functools.cache
def known_models() -> Known:
    return load_model(Path(__file__).with_name("shapes.yaml"), Known)


@functools.cache
def gpu_gib(accelerator_type: str) -> float | None:
    """What CUDA gives to programs on one such GPU; None where it is not known."""
    gpus = load_model(Path(__file__).with_name("gpus.yaml"), Gpus).gpus
    return gpus.get(accelerator_type)
