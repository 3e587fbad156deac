"""The patch gives the base's groups their sizes, adds those that it lacks, removes the others."""

import copy
from pathlib import Path
from typing import Any

import pytest

from deploy.kube.groups import Group
from deploy.kube.patch import BASE_GROUPS, ENGINE_IMAGE, GROUPS, patch
from k8s.checks.reading import load_all

BASE = Path(__file__).parents[3] / "k8s" / "base" / "ray-service.yaml"
GATEWAY = Group("gateway", "gateway", 2, 4, {"stepwell-gateway": 2})


def tier(name: str, **more: Any) -> Group:
    return Group(name, "tier", 1, 2, {f"stepwell-tier-{name}": 1}, **more)


def base() -> dict[str, Any]:
    [service] = load_all(BASE.read_text("utf-8"))
    # Without aliases, as Kustomize reads it.
    return copy.deepcopy({"spec": _apart(service["spec"])})


def _apart(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _apart(v) for k, v in node.items()}
    return [_apart(v) for v in node] if isinstance(node, list) else node


def applied(ops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The worker groups after the operations; few kinds of them are used."""
    whole = base()
    for op in ops:
        *parts, last = op["path"].strip("/").split("/")
        node: Any = whole
        for part in parts:
            node = node[int(part) if isinstance(node, list) else part]
        key = int(last) if isinstance(node, list) and last != "-" else last
        if op["op"] == "test":
            assert node[key] == op["value"]
        elif op["op"] == "remove":
            del node[key]
        elif op["op"] == "copy":
            index = int(op["from"].rsplit("/", 1)[1])
            node.append(copy.deepcopy(node[index]))
        elif last == "-":
            node.append(op["value"])
        else:
            assert op["op"] == "add" or key in node or isinstance(node, list)
            node[key] = op["value"]
    groups: list[dict[str, Any]] = whole["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return groups


def test_the_bases_groups_are_these() -> None:
    groups = base()["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert tuple(g["groupName"] for g in groups) == BASE_GROUPS


def test_groups_that_are_not_asked_for_go() -> None:
    found = applied(patch([GATEWAY, tier("local-70b")], drain_s=60))
    assert [g["groupName"] for g in found] == ["gateway", "local-70b"]
    assert (found[0]["replicas"], found[0]["maxReplicas"]) == (2, 4)
    assert found[0]["template"]["spec"]["terminationGracePeriodSeconds"] == 90


def test_groups_that_the_base_lacks_come() -> None:
    found = applied(patch([GATEWAY, tier("mid"), tier("local-7b"), tier("top")], drain_s=60))
    assert [g["groupName"] for g in found] == ["gateway", "local-7b", "mid", "top"]
    assert [g["resources"]["CPU"] for g in found] == ["2"] * 4
    assert found[3]["resources"]["stepwell-tier-top"] == "1"


def test_a_tier_with_gpus_goes_where_they_are() -> None:
    group = tier("local-7b", gpus=2, accelerators=("H200",), vllm=True)
    _, found = applied(patch([GATEWAY, group], drain_s=60))
    pod = found["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert pod["containers"][0]["image"] == ENGINE_IMAGE
    assert "NVIDIA-H200" in str(pod["affinity"])
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert found["resources"]["GPU"] == "2"
    claims = [v for v in pod["volumes"] if "persistentVolumeClaim" in v]
    assert [c["persistentVolumeClaim"]["readOnly"] for c in claims] == [True]
    variables = {v["name"]: v["value"] for v in pod["containers"][0]["env"]}
    assert variables["HF_HUB_OFFLINE"] == "1"


def test_gpus_of_any_kind_are_asked_for_by_their_presence() -> None:
    _, found = applied(patch([GATEWAY, tier("local-7b", gpus=1, vllm=True)], drain_s=60))
    assert "nvidia.com/gpu.present" in str(found["template"]["spec"]["affinity"])


def test_without_an_engine_no_pod_runs_its_image() -> None:
    found = applied(patch([GATEWAY, tier("local-7b")], drain_s=60))
    assert ENGINE_IMAGE not in str(found)


@pytest.mark.parametrize("names", [["local-7b"], ["mid"]])
def test_each_group_is_tested_before_it_is_changed(names: list[str]) -> None:
    ops = patch([GATEWAY, *(tier(n) for n in names)], drain_s=60)
    tested = {op["path"].rsplit("/", 1)[0] for op in ops if op["op"] == "test"}
    changed = {"/".join(op["path"].split("/")[:5]) for op in ops if op["op"] == "replace"}
    copies = {f"{GROUPS}/{len(BASE_GROUPS)}"}
    assert changed - copies <= tested
