from pathlib import Path

import pytest

from serving.errors import ConfigError
from serving.settings.secrets import MAX_SECRET_BYTES, read_secret


def test_the_environment_is_read_without_white_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-1 \n")
    assert read_secret("SOME_KEY", None) == "sk-1"


def test_what_is_unset_or_empty_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMPTY", "  ")
    monkeypatch.delenv("UNSET", raising=False)
    (tmp_path / "empty").write_text("\n")
    assert read_secret("EMPTY", None) is None
    assert read_secret("UNSET", None) is None
    assert read_secret(None, None) is None
    assert read_secret(None, str(tmp_path / "empty")) is None


def test_the_file_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_KEY", "from-env")
    (tmp_path / "key").write_text("from-file\n")
    assert read_secret("SOME_KEY", str(tmp_path / "key")) == "from-file"


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * (MAX_SECRET_BYTES + 1)])
def test_a_file_that_cannot_be_read_is_an_error_without_its_content(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="key") as caught:
        read_secret(None, str(path))
    assert "xxx" not in str(caught.value)
