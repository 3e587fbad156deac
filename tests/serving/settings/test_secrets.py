from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ConfigError
from serving.settings.secrets import MAX_SECRET_BYTES, TELLING_CHARS, read_secret, scrubbed


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


@pytest.mark.parametrize("secret", ["sk-1\nsk-2", "sk 1", "sk-\u201c1\u201d", "sk-\x00"])
def test_what_no_header_can_carry_is_named_and_not_shown(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "key"
    path.write_text(secret)
    with pytest.raises(ConfigError, match="no HTTP header") as caught:
        read_secret(None, str(path))
    assert "sk" not in str(caught.value)


SECRET = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"key {SECRET} is bad", "key *** is bad"),
        (f"'{SECRET[:10]}...{SECRET[-9:]}'", "'***...***'"),
        ("nothing of it: sk-ant-", "nothing of it: sk-ant-"),
        (SECRET + SECRET, "******"),
        ("", ""),
    ],
)
def test_a_secret_and_its_telling_parts_are_removed(text: str, left: str) -> None:
    assert scrubbed(text, SECRET) == left


def test_without_a_secret_and_with_a_short_one() -> None:
    assert scrubbed("some text", None) == scrubbed("some text", "") == "some text"
    assert scrubbed("the key is abcd!", "abcd") == "the key is ***!"
    assert scrubbed("the key is k!", "k") == "the key is k!"


@given(st.text("abc", max_size=30), st.text("abc", min_size=TELLING_CHARS, max_size=20))
def test_no_part_of_a_secret_is_left(text: str, secret: str) -> None:
    parts = {secret[i : i + TELLING_CHARS] for i in range(len(secret) - TELLING_CHARS + 1)}
    found = scrubbed(text, secret)
    assert not any(part in found for part in parts)
    assert ("***" in found) == any(part in text for part in parts)
