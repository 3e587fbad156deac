"""Lines of the log, as an operator's tools read them."""

import io
import json
import logging
import sys
from typing import Any

import pytest
import structlog

from serving.settings.root import LogSettings
from serving.telemetry.logs import configure


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_our_lines_and_others_are_json_alike(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    structlog.get_logger("stepwell.x").info("request", ms=1.5, text="é\n", odd={1})
    logging.getLogger("somebody").warning("disk %s", "full")
    ours, theirs = lines(capsys)
    timestamp = ours.pop("timestamp")
    assert timestamp.endswith("Z")
    assert ours == {
        "event": "request",
        "level": "info",
        "logger": "stepwell.x",
        "ms": 1.5,
        "text": "é\n",
        "odd": "{1}",
    }
    assert (theirs["event"], theirs["level"]) == ("disk full", "warning")


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(level="warning"))
    structlog.get_logger("stepwell.x").info("no")
    logging.getLogger("somebody").info("no")
    structlog.get_logger("stepwell.x").error("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


@pytest.mark.parametrize("prompts", [False, True])
def test_who_logs_bodies_at_debug_is_silenced(
    prompts: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings(level="debug", prompts=prompts))
    logging.getLogger("openai._base_client").debug("request body: a secret")
    logging.getLogger("anthropic").info("a secret")
    assert len(lines(capsys)) == (2 if prompts else 0)


def test_a_traceback_has_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    secret = "sk-" + "ant-local"
    try:
        _ = {0: secret}[len(secret)]
    except KeyError:
        logging.getLogger("somebody").exception("failed")
    (line,) = lines(capsys)
    assert "KeyError: 12" in line["exception"]
    assert secret not in json.dumps(line)


def test_a_line_with_half_a_character_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    structlog.get_logger("stepwell.x").info("odd", model="\ud83d")
    (line,) = lines(capsys)
    assert line["model"] == "\ud83d"


def test_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="console"))
    structlog.get_logger("stepwell.x").info("request", status=200)
    err = capsys.readouterr().err
    assert "request" in err
    assert "status=200" in err
    assert "\x1b" not in err


def test_configuring_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    configure(LogSettings())
    structlog.get_logger("stepwell.x").info("once")
    assert len(lines(capsys)) == 1


def test_a_log_that_nobody_reads_any_more_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    configure(LogSettings())
    closed.close()
    structlog.get_logger("stepwell.x").error("tier_failed")
