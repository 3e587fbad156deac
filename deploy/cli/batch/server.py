"""The endpoint, asked through the `openai` SDK, with patience: a batch outlives restarts of the
server and broken connections, and so must whoever waits for it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self, TypeVar

import httpx2  # the transport of the openai SDK
import openai
from openai.types import Batch, FileObject

from deploy.cli.console import errors, say
from deploy.cli.replay.send import is_loopback, own_headers, with_version
from deploy.cli.replay.trace import one_line
from serving.errors import StepwellError

TIMEOUT_S = 120.0
CONNECT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
PATIENCE_S = 3_600.0
"""Without any answer for so long, the server is taken for gone."""
LOOKED_AT = 100  # batches, newest first, among which one must be that was created unheard
PIECE_BYTES = 1_048_576
TRANSIENT = {408, 409, 425, 429}
NAME = "requests.jsonl"

T = TypeVar("T")


class Refused(StepwellError):
    """The server's own words, with advice where there is some."""


class NoAnswer(StepwellError):
    """The server did not answer for long."""


class Server:
    """Close it. What it raises is a `StepwellError`. `tell` hears about waits."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        patience_s: float = PATIENCE_S,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._url = with_version(url)
        self._patience_s = patience_s
        self.tell = tell or (lambda line: say(errors(), line))
        self._headers = own_headers(api_key)
        # A proxy from the environment is for the world outside, never for a server on this host.
        http = openai.DefaultHttpxClient(trust_env=not is_loopback(url))
        self._client = openai.OpenAI(
            base_url=self._url,
            api_key=api_key or "none",
            admin_api_key="",
            # Its retries would create a batch twice, and say nothing while they wait.
            max_retries=0,
            timeout=httpx2.Timeout(TIMEOUT_S, connect=CONNECT_S),
            http_client=http,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def upload(self, file: IO[bytes]) -> FileObject:
        """Streams the file; its name stays here."""
        files = self._client.files

        def send() -> FileObject:
            return files.create(file=(NAME, file), purpose="batch", extra_headers=self._headers)

        return self._patiently(send)

    def create(self, file_id: str, endpoint: str, window: str, labels: Mapping[str, str]) -> Batch:
        """Once, also where the answer to it was lost: no other batch reads this file."""
        asked = 0

        def make() -> Batch:
            nonlocal asked
            asked += 1
            made = self._of_file(file_id) if asked > 1 else None
            return made or self._client.batches.create(
                input_file_id=file_id,
                endpoint=endpoint,  # type: ignore[arg-type]  # the server knows its own
                completion_window=window,  # type: ignore[arg-type]  # so with windows
                metadata=dict(labels) or None,
                extra_headers=self._headers,
            )

        return self._patiently(make)

    def retrieve(self, batch_id: str) -> Batch:
        batches = self._client.batches
        return self._patiently(lambda: batches.retrieve(batch_id, extra_headers=self._headers))

    def latest(self, limit: int) -> Sequence[Batch]:
        batches = self._client.batches
        return self._patiently(lambda: batches.list(limit=limit, extra_headers=self._headers).data)

    def download(self, file_id: str, target: Path) -> None:
        """The whole file, from the start again where the connection breaks."""
        stream = self._client.files.with_streaming_response

        def fetch() -> None:
            with (
                stream.content(file_id, extra_headers=self._headers) as response,
                target.open("wb") as file,
            ):
                for piece in response.iter_bytes(PIECE_BYTES):
                    file.write(piece)

        self._patiently(fetch)

    def forget(self, file_id: str) -> None:
        """Deletes a file that no batch will read, as far as possible."""
        try:
            self._client.files.delete(file_id, extra_headers=self._headers)
        except openai.OpenAIError as error:
            self.tell(f"the file {file_id} was left on the server: {one_line(str(error))}")

    def _of_file(self, file_id: str) -> Batch | None:
        found = self._client.batches.list(limit=LOOKED_AT, extra_headers=self._headers).data
        return next((batch for batch in found if batch.input_file_id == file_id), None)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Asks until there is a verdict; `NoAnswer` after long without one."""
        pause_s, gives_up = FIRST_PAUSE_S, time.monotonic() + self._patience_s
        while True:
            try:
                return ask()
            except openai.APIStatusError as error:
                if not _passes(error):
                    raise self._refused(error) from None
                why = one_line(f"{error.status_code} {error.message}")
            except (openai.APIConnectionError, httpx2.TransportError) as error:
                why = one_line(str(error.__cause__ or error)) or type(error).__name__
            if time.monotonic() + pause_s > gives_up:
                raise NoAnswer(f"{self._url} has not answered for long: {why}")
            self.tell(f"no answer ({why}); asking again in {pause_s:g} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _refused(self, error: openai.APIStatusError) -> Refused:
        said = one_line(error.message)
        if error.status_code == 401:
            return Refused(f"{said} (the key is that of --api-key-env, or of STEPWELL_API_KEY)")
        if _no_route(error):
            return Refused(
                f"{self._url} serves no batches ({error.status_code}): they are off unless the"
                " server's configuration says `batch: {enabled: true}`"
            )
        return Refused(said)


def _passes(error: openai.APIStatusError) -> bool:
    """Whether the same question may have another answer a moment later."""
    if error.code == "too_many_batches":
        return False
    return error.status_code in TRANSIENT or error.status_code >= 500


def _no_route(error: openai.APIStatusError) -> bool:
    """A route that is not there, rather than a file or batch that is not."""
    if error.status_code not in (404, 405):
        return False
    return error.code not in ("file_not_found", "batch_not_found")
