"""Files through the openai SDK, over real HTTP."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.batch.files import FileStore, new_file_id
from serving.batch.values import Owner, utc_now
from serving.settings.batch import BatchSettings
from serving.settings.key_hash import digest
from serving.storage.database import Database
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import KEY
from tests.serving.batch.stack import ended, jsonl, line, stack, submit, upload

KEYS = [{"id": "one", "tenant": "one", "hash": digest(KEY)}]
OWNER = Owner("t", None)


def on_disk(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    data = os.urandom(3_000_000) + b"\r\n--"
    async with stack(Scripted(), tmp_path, working=False) as s:
        made = await upload(s.client, data, '../../etc/päss wd".jsonl')
        assert (made.bytes, made.purpose, made.status) == (len(data), "batch", "processed")
        assert made.filename.startswith("../../etc/päss")
        assert made.expires_at == made.created_at + 30 * 86_400
        assert await s.client.files.retrieve(made.id) == made
        content = await s.client.files.content(made.id)
        assert content.content == data
        assert content.response.headers["x-content-type-options"] == "nosniff"
        (path,) = on_disk(tmp_path / "files")
        assert path.name == made.id
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_deleted_file_is_gone(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        made = await upload(s.client, b"x\n")
        assert (await s.client.files.delete(made.id)).deleted
        assert on_disk(tmp_path / "files") == []
        for ask in (s.client.files.retrieve, s.client.files.content, s.client.files.delete):
            with pytest.raises(openai.NotFoundError):
                await ask(made.id)


async def test_a_file_that_a_batch_reads_stays(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        made = await submit(s.client, [line("a")])
        with pytest.raises(openai.BadRequestError, match="still reads"):
            await s.client.files.delete(made.input_file_id)
        await s.worker.start()
        await ended(s.client, made.id)
        await s.client.files.delete(made.input_file_id)
        await s.worker.close()


async def test_files_are_listed_with_cursors(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        made = [(await upload(s.client, b"x\n")).id for _ in range(5)]
        files = s.client.files
        assert [f.id async for f in files.list(limit=2)] == made[::-1]
        assert [f.id async for f in files.list(limit=3, order="asc")] == made
        assert [f.id async for f in files.list(purpose="batch_output")] == []
        page = await files.list(limit=2, after=made[4])
        assert ([f.id for f in page.data], page.has_more) == ([made[3], made[2]], True)
        for wrong in ({"limit": 0}, {"after": "file-none"}, {"order": "up"}):
            with pytest.raises(openai.BadRequestError):
                await files.list(**wrong)


async def test_a_file_lives_as_long_as_asked(tmp_path: Path) -> None:
    now, offset = utc_now(), timedelta()

    def clock() -> Any:
        return now + offset

    async with stack(Scripted(), tmp_path, working=False, clock=clock) as s:
        made = await s.client.files.create(
            file=("x", b"x\n"),
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 3_600},
        )
        assert made.expires_at == made.created_at + 3_600
        offset = timedelta(seconds=3_601)
        with pytest.raises(openai.NotFoundError):
            await s.client.files.retrieve(made.id)
        await s.files.sweep()
        assert on_disk(tmp_path / "files") == []
        with pytest.raises(openai.BadRequestError):
            await s.client.files.create(
                file=("x", b"x\n"),
                purpose="batch",
                expires_after={"anchor": "created_at", "seconds": 1},
            )


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"data": {"purpose": "vision"}, "files": {"file": b"x"}}, "invalid_value"),
        ({"data": {"purpose": "batch"}, "files": {"other": ("x", b"x")}}, "invalid_form"),
        ({"files": {"file": b"x"}}, "missing_required_parameter"),
        ({"data": {"purpose": "batch"}, "files": {"file": b""}}, "empty_file"),
        ({"data": {"purpose": "b" * 2_000}, "files": {"file": b"x"}}, "invalid_form"),
        ({"files": [("file", b"x"), ("file", b"x")]}, "invalid_form"),
        ({"json": {"purpose": "batch"}}, "unsupported_media_type"),
    ],
)
async def test_what_is_no_upload_is_refused(
    tmp_path: Path, form: dict[str, Any], code: str
) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        response = await s.server.post("/v1/files", **form)
        assert response.status_code in (400, 415)
        assert response.json()["error"]["code"] == code
        assert on_disk(tmp_path / "files") == []
        assert (await s.client.files.list()).data == []


async def test_size_is_counted_before_it_is_spent(tmp_path: Path) -> None:
    batch = BatchSettings(max_file_bytes=200_000)
    async with stack(Scripted(), tmp_path, working=False, batch=batch) as s:
        await upload(s.client, b"x" * 200_000)
        with pytest.raises(openai.APIStatusError) as caught:
            await upload(s.client, b"x" * 200_001)
        assert (caught.value.status_code, caught.value.code) == (413, "file_too_large")

        async def unannounced() -> AsyncIterator[bytes]:
            yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'
            for _ in range(300):
                yield b"x" * 10_000

        headers = {"content-type": "multipart/form-data; boundary=b"}
        response = await s.server.post("/v1/files", content=unannounced(), headers=headers)
        assert response.json()["error"]["code"] == "file_too_large"
        assert len(on_disk(tmp_path / "files")) == 1


async def test_a_tenant_s_files_have_a_quota(tmp_path: Path) -> None:
    batch = BatchSettings(max_tenant_bytes=2_000)
    async with stack(Scripted(), tmp_path, working=False, batch=batch) as s:
        first = await upload(s.client, b"x" * 1_500)
        with pytest.raises(openai.APIStatusError) as caught:
            await upload(s.client, b"x" * 1_500)
        assert (caught.value.status_code, caught.value.code) == (413, "storage_quota_exceeded")
        await s.client.files.delete(first.id)
        await upload(s.client, b"x" * 1_500)


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, working=False) as s:
        host, _, port = s.server.url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9000000\r\n"
            b"content-type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'
        )
        writer.write(b"x" * 2_000_000)
        await writer.drain()
        async with asyncio.timeout(10):
            while not on_disk(tmp_path / "files"):  # noqa: ASYNC110 - the disk tells nobody
                await asyncio.sleep(0.005)
            writer.close()
            while on_disk(tmp_path / "files"):  # noqa: ASYNC110 - the disk tells nobody
                await asyncio.sleep(0.005)
        assert (await s.client.files.list()).data == []


async def test_pages_of_the_web_cannot_upload_where_no_key_is_needed(tmp_path: Path) -> None:
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": b"x"}}
    async with stack(Scripted(), tmp_path, working=False) as s:
        evil = {"origin": "https://evil.example"}
        assert (await s.server.post("/v1/files", headers=evil, **form)).status_code == 403
        own = {"origin": s.server.url}
        assert (await s.server.post("/v1/files", headers=own, **form)).status_code == 200


async def test_files_need_a_key_where_there_are_keys(tmp_path: Path) -> None:
    async with stack(Scripted(), tmp_path, working=False, keys=KEYS) as s:
        await upload(s.client, jsonl([line("a")]))
        wrong = s.server.sdk("sw-test-wrong-0123456789-abcdefghijklmnop")
        with pytest.raises(openai.AuthenticationError):
            await upload(wrong, b"x")
        with pytest.raises(openai.AuthenticationError):
            await wrong.files.list()


async def test_bytes_without_a_row_are_swept_once_they_are_old(
    database: Database, tmp_path: Path
) -> None:
    files = FileStore(database, tmp_path / "files", BatchSettings())
    kept, lost, fresh = new_file_id(), new_file_id(), new_file_id()
    for file_id in (kept, lost, fresh):
        async with files.writing(file_id) as writer:
            await writer.write(b"x")
        if file_id != fresh:
            os.utime(files.path(file_id), (0, 0))
    await files.add(kept, OWNER, filename="x", purpose="batch", size=1)
    await files.sweep()
    assert {path.name for path in on_disk(tmp_path / "files")} == {kept, fresh}
