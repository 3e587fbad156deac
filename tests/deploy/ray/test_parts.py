"""What a change of the configuration changes of what Serve is told, and so which replicas go."""

import copy
from pathlib import Path
from typing import Any

import pytest

from deploy.kube.serve_config import load, serve_config
from deploy.ray.application import _room
from deploy.ray.parts import built_in, given, given_to_semantic, version, whole
from deploy.ray.sizes import sizes
from k8s.checks.build import OVERLAYS
from serving.settings.root import Settings

MOCK, GPU = (OVERLAYS / name / "stepwell.yaml" for name in ("mock", "gpu"))


def changed(path: Path, *keys: Any, to: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Serve's configuration of the file, and with one setting changed: the application's arguments
    and the deployments by name.
    """
    _, before = load(path)
    after: Any = copy.deepcopy(before)
    *way, last = keys
    node = after
    for key in way:
        node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
    node[last] = to
    return told(before), told(after)


def told(written: dict[str, Any]) -> dict[str, Any]:
    config = serve_config(Settings.model_validate(_listening(written)), written)
    [application] = config["applications"]
    return {"args": application["args"], **{d["name"]: d for d in application["deployments"]}}


def _listening(written: dict[str, Any]) -> dict[str, Any]:
    return {**written, "runtime": "ray"}


CHANGES: dict[str, tuple[Path, tuple[Any, ...], Any, set[str]]] = {
    "a threshold": (MOCK, ("tiers", 0, "gate", "min_mean"), -0.5, {"gateway"}),
    "a threshold of a tier on vLLM": (GPU, ("tiers", 0, "gate", "min_mean"), -0.5, {"gateway"}),
    "a task": (MOCK, ("tasks", 0, "critical"), False, {"gateway", "semantic"}),
    "a key": (MOCK, ("keys", 0, "tenant"), "other", {"gateway"}),
    "a price of a GPU": (GPU, ("tiers", 0, "price", "gpu_hour"), 9.0, {"gateway", "semantic"}),
    "what a tier may write": (
        GPU,
        ("tiers", 1, "output", "max_tokens"),
        99,
        {"gateway", "semantic"},
    ),
    "replicas of a tier": (MOCK, ("tiers", 0, "replicas"), 2, {"tier-local-7b"}),
    "bounds of a tier": (
        GPU,
        ("tiers", 0, "backend", "autoscaling", "max_replicas"),
        3,
        {"tier-local-7b"},
    ),
    "gateways": (MOCK, ("ray", "gateways"), 3, {"gateway"}),
    "egress": (MOCK, ("ray", "egress"), 2, {"egress"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_concerns_who_reads_it(name: str) -> None:
    path, keys, to, concerned = CHANGES[name]
    before, after = changed(path, *keys, to=to)
    assert {n for n in before if before[n] != after[n]} == concerned


@pytest.mark.parametrize(
    ("path", "keys", "to"),
    [
        (MOCK, ("ray", "gateways"), 3),
        (MOCK, ("tiers", 0, "replicas"), 2),
        (GPU, ("tiers", 0, "backend", "autoscaling", "max_replicas"), 3),
        (GPU, ("tiers", 1, "backend", "autoscaling", "target_ongoing"), 7),
    ],
)
def test_a_number_of_replicas_is_no_version(path: Path, keys: tuple[Any, ...], to: Any) -> None:
    """Serve must not even tell running replicas of it."""
    before, after = changed(path, *keys, to=to)
    numbers = {"num_replicas", "autoscaling_config"}
    for name in before:
        assert {k: v for k, v in before[name].items() if k not in numbers} == {
            k: v for k, v in after[name].items() if k not in numbers
        }


def test_an_engine_is_everybodys() -> None:
    before, after = changed(GPU, "tiers", 0, "backend", "max_num_seqs", to=64)
    assert before["args"] != after["args"]


def test_a_tier_that_may_sleep_is_known_by_gateways() -> None:
    before, after = changed(GPU, "tiers", 0, "backend", "autoscaling", "min_replicas", to=0)
    assert before["args"] == after["args"]
    assert {n for n in before if before[n] != after[n]} == {"gateway", "semantic", "tier-local-7b"}


@pytest.mark.parametrize("path", [MOCK, GPU])
def test_the_parts_are_valid_and_make_the_whole(path: Path) -> None:
    settings, written = load(path)
    for part in (built_in, given, given_to_semantic):
        Settings.model_validate(part(settings, written))
    again = Settings.model_validate(whole(given(settings, written), sizes(settings)))
    assert again == settings


def test_a_version_is_of_what_is_given() -> None:
    settings, written = load(MOCK)
    config = given(settings, written)
    assert version(config) == version(copy.deepcopy(config))
    assert version(config) != version({**config, "aliases": {"x": "auto"}})


def test_a_replica_has_room_for_both_queues_of_its_tiers() -> None:
    settings, _ = load(MOCK)
    for tier in settings.tiers:
        waiting = 2 * tier.limits.max_queued  # those that can wait have a queue of their own
        assert _room(settings, [tier])["max_ongoing_requests"] > tier.max_concurrent + waiting
