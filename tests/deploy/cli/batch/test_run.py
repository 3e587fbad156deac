"""`stepwell batch` against a whole stack, over real HTTP."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types import Batch
from typer.testing import CliRunner, Result

from deploy.cli.batch.run import Places, Run
from deploy.cli.batch.server import Server
from deploy.cli.main import app
from tests.e2e.configs import ladder, mock_tier
from tests.e2e.stack import Stack, running

BATCH: dict[str, Any] = {"enabled": True, "poll_s": 0.05, "max_tries": 1}


TASK = {"name": "default", "gate": "off", "start": "small"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tiers = [mock_tier("down", faults={"error": 1.0}), *ladder()["tiers"]]
    config = ladder(batch=BATCH, tiers=tiers, default_task=TASK)
    with running(config, tmp_path_factory.mktemp("stack")) as stack:
        yield stack


def stepwell(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def texts(path: Path, number: int) -> Path:
    return write(path, *({"text": f"What is {n} + 4?"} for n in range(number)))


def ids(path: Path) -> list[str]:
    return [json.loads(one)["custom_id"] for one in path.read_text("utf-8").splitlines()]


def refused(custom_id: str) -> dict[str, Any]:
    """A line that passes the check, and that no tier answers."""
    message = {"role": "user", "content": "Hi"}
    return {"custom_id": custom_id, "model": "down", "messages": [message]}


def batch_in(done: Result) -> str:
    """Its id; the stack of the test logs to stdout too."""
    found = re.search(r"^batch_\w+$", done.stdout, re.MULTILINE)
    assert found is not None, done.output
    return found[0]


def test_a_file_goes_out_and_its_results_come_back_in_its_order(
    served: Stack, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    done = stepwell("run", texts(tmp_path / "in.jsonl", 12), "-o", out, "--url", served.url)
    assert done.exit_code == 0, done.output
    assert ids(out) == [f"line-{n}" for n in range(1, 13)]
    answers = [json.loads(one) for one in out.read_text("utf-8").splitlines()]
    assert {one["response"]["status_code"] for one in answers} == {200}
    assert re.search(r"succeeded +12 *\n", done.stdout)
    assert "would have cost $" in done.stdout
    assert "saved $" in done.stdout
    assert re.search(r"answered by \w+ +\d+", done.stdout)
    assert re.search(r"batch_\w+: begun", done.stderr)


def test_on_a_terminal_there_is_a_bar_with_what_was_spent_and_saved(
    served: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = tmp_path / "out.jsonl"
    done = stepwell("run", texts(tmp_path / "in.jsonl", 12), "-o", out, "--url", served.url)
    assert done.exit_code == 0, done.output
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr)
    assert "12/12" in seen
    assert re.search(r"spent \$0\.\d+, saved \$0\.\d+ \(9\d\.\d%\), small 12", seen)


def test_lines_that_fail_make_it_1_and_may_go_to_a_file_of_their_own(
    served: Stack, tmp_path: Path
) -> None:
    source = write(tmp_path / "in.jsonl", {"text": "Hi"}, refused("bad"), {"text": "Ho"})
    out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"
    done = stepwell("run", source, "-o", out, "--url", served.url)
    assert done.exit_code == 1, done.output
    assert ids(out) == ["line-1", "bad", "line-3"]
    done = stepwell("run", source, "-o", out, "--errors", err, "--url", served.url)
    assert done.exit_code == 1, done.output
    assert (ids(out), ids(err)) == (["line-1", "line-3"], ["bad"])


def test_what_the_server_finds_wrong_is_told_by_the_lines_of_the_user_s_file(
    served: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    bad = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 9}
    source.write_text('{"text": "Hi"}\n\n\n' + json.dumps(bad) + "\n", "utf-8")
    out = tmp_path / "out.jsonl"
    done = stepwell("run", source, "-o", out, "--url", served.url)
    assert done.exit_code == 1, done.output
    assert "line 4: " in done.stderr
    assert "temperature" in done.stderr
    assert not out.exists()


def test_without_waiting_there_is_an_id_to_come_back_with(served: Stack, tmp_path: Path) -> None:
    labels = ("--metadata", "project=x", "--metadata", "team=a=b", "--window", "90m")
    source = texts(tmp_path / "in.jsonl", 3)
    done = stepwell("run", source, "--no-wait", "--url", served.url, *labels)
    assert done.exit_code == 0, done.output
    batch_id = batch_in(done)
    out = tmp_path / "out.jsonl"
    done = stepwell("run", "--resume", batch_id, "-o", out, "--url", served.url)
    assert done.exit_code == 0, done.output
    assert ids(out) == ["line-1", "line-2", "line-3"]
    shown = stepwell("status", batch_id, "--url", served.url, "--json")
    batch = json.loads(shown.stdout[shown.stdout.index("{\n") :])
    assert (batch["metadata"], batch["completion_window"]) == (
        {"project": "x", "team": "a=b"},
        "90m",
    )
    shown = stepwell("status", batch_id, "--url", served.url)
    assert f"{batch_id}: completed" in shown.stdout
    latest = stepwell("status", "--url", served.url, "--limit", "1")
    assert batch_id in latest.stdout
    assert "completed" in latest.stdout


class CancelledEarly(Server):
    """Has one batch, which was cancelled before its lines were accepted: it has no files."""

    def retrieve(self, batch_id: str) -> Batch:
        return Batch(
            id=batch_id,
            object="batch",
            status="cancelled",
            created_at=1,
            completion_window="24h",
            endpoint="/v1/chat/completions",
            input_file_id="file-1",
        )

    def download(self, file_id: str, target: Path) -> None:
        target.write_text(json.dumps({"custom_id": file_id}) + "\n", "utf-8")


def test_a_batch_that_never_began_has_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    with CancelledEarly("http://127.0.0.1:9", None) as server:
        assert Run(server, Places(out)).resume("batch_1") == 1
    told = capsys.readouterr().err
    assert "batch_1 cancelled before it began" in told
    assert "to come back" not in told
    assert not out.exists()


def test_where_the_input_is_gone_results_still_come(served: Stack, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", refused("bad"), {"text": "Hi"})
    out = tmp_path / "out.jsonl"
    assert stepwell("run", source, "-o", out, "--url", served.url).exit_code == 1
    with served.client() as client:
        (batch,) = client.batches.list(limit=1).data
        client.files.delete(batch.input_file_id)
    done = stepwell("run", "--resume", batch.id, "-o", out, "--url", served.url)
    assert done.exit_code == 1, done.output
    assert "the order may be another" in done.stderr
    assert ids(out) == ["line-2", "bad"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run"], 2, "--resume"),
        (["run", "IN"], 2, "--no-wait"),
        (["run", "IN", "--resume", "batch_1", "-o", "OUT"], 2, "--resume"),
        (["run", "--resume", "batch_1", "--no-wait"], 2, "status"),
        (["run", "IN", "-o", "OUT", "--errors", "OUT"], 2, "another file"),
        (["run", "IN", "--no-wait", "--errors", "OUT"], 2, "without waiting"),
        (["run", "IN", "-o", "/no/such/place/out"], 2, "can't write"),
        (["run", "IN", "-o", "OUT", "--metadata", "x"], 2, "KEY=VALUE"),
        (["run", "IN", "-o", "OUT", "--metadata", "x=1", "--metadata", "x=2"], 2, "twice"),
        (["run", "IN", "-o", "OUT", "--url", "there"], 2, "http"),
        (["run", "IN", "-o", "OUT", "--window", "soon"], 1, "24h"),
        (["run", "IN", "-o", "OUT", "--webhook", "https://a.example/"], 1, "webhooks are off"),
        (["run", "--resume", "batch_none", "-o", "OUT"], 1, "No batch found"),
        (["status", "batch_none"], 1, "No batch found"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    served: Stack, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    source, out = texts(tmp_path / "in.jsonl", 1), tmp_path / "out.jsonl"
    names = {"IN": str(source), "OUT": str(out)}
    given = [names.get(argument, argument) for argument in arguments]
    done = stepwell(*given, *([] if "--url" in given else ["--url", served.url]))
    assert done.exit_code == code, done.output
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.output
    assert not out.exists()


def test_a_file_that_is_refused_is_not_left_on_the_server(served: Stack, tmp_path: Path) -> None:
    source = texts(tmp_path / "in.jsonl", 1)
    with served.client() as client:
        before = {file.id for file in client.files.list()}
        done = stepwell("run", source, "--no-wait", "--window", "soon", "--url", served.url)
        assert done.exit_code == 1
        assert {file.id for file in client.files.list()} == before


def test_where_batches_are_off_it_says_so(tmp_path: Path) -> None:
    with running(ladder(), tmp_path) as stack:
        source = texts(tmp_path / "in.jsonl", 1)
        for given in (("run", source, "-o", tmp_path / "out.jsonl"), ("status",)):
            done = stepwell(*given, "--url", stack.url)
            assert done.exit_code == 1
            assert "batch: {enabled: true}" in done.stderr
