"""A replay of real requests through two gateways on Ray Serve."""

import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deploy.paths import default_config
from tests.e2e.test_replay import assert_nothing_is_lost, without_waiting
from tests.ray.stack import running

pytest.importorskip("ray", reason="this test needs the extra `ray`")


@pytest.mark.skipif(not os.environ.get("STEPWELL_TEST_DATA"), reason="STEPWELL_TEST_DATA is unset")
def test_nothing_is_lost_and_the_ledger_agrees(tmp_path: Path) -> None:
    config = without_waiting(YAML(typ="safe").load(default_config()))
    with running(config, tmp_path, gateways=2) as stack:
        assert_nothing_is_lost(stack, tmp_path / "out.json")
