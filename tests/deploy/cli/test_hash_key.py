"""`stepwell hash-key`: the key it makes is the one that its entry lets in."""

import re

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deploy.cli.main import app
from serving.settings.key_hash import digest, weakness
from serving.settings.keys import KeySettings

runner = CliRunner()
GIVEN = "sw-0123456789-abcdefghijklmnopqrst"


def entry(text: str) -> KeySettings:
    (values,) = YAML(typ="safe").load("keys:\n" + text)["keys"]
    return KeySettings.model_validate(values)


def test_a_new_key_and_its_entry() -> None:
    first = runner.invoke(app, ["hash-key", "--tenant", "acme", "--id", "123"])
    assert first.exit_code == 0
    (key,) = re.findall(r"sw-[\w-]{43}", first.stderr)
    assert weakness(key) is None
    made = entry(first.stdout)
    assert (made.id, made.tenant, made.hash) == ("123", "acme", digest(key))
    assert key not in first.stdout, "an entry goes into a file, the key never does"
    assert entry(runner.invoke(app, ["hash-key"]).stdout).hash != made.hash


def test_a_given_key() -> None:
    done = runner.invoke(app, ["hash-key", "--stdin"], input=GIVEN + "\n")
    assert done.exit_code == 0
    assert entry(done.stdout).hash == digest(GIVEN)
    assert GIVEN not in done.output


@pytest.mark.parametrize("key", ["hunter2", "a" * 64, ""])
def test_a_weak_key_is_refused(key: str) -> None:
    done = runner.invoke(app, ["hash-key", "--stdin"], input=key + "\n")
    assert done.exit_code == 2
    assert "refused" in done.stderr
    assert "sha256" not in done.output


def test_names_are_checked() -> None:
    done = runner.invoke(app, ["hash-key", "--tenant", "a b"])
    assert done.exit_code == 2
    assert "sha256" not in done.output
