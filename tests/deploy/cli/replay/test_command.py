"""`stepwell replay` against a real HTTP server: what it sends, counts, prints and returns."""

import asyncio
import gzip
import json
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from tests.deploy.cli.endpoint import (
    Asked,
    Endpoint,
    answer,
    attempt,
    chunk,
    error,
    events,
    listening,
)

runner = CliRunner()


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), "utf-8")
    return path


def replay(endpoint: Endpoint, file: Path, *options: str) -> tuple[Result, dict[str, Any]]:
    figures = file.parent / "figures.json"
    arguments = ["replay", str(file), "--url", endpoint.url, "--json", str(figures), *options]
    result = runner.invoke(app, arguments)
    assert figures.exists(), result.output
    return result, json.loads(figures.read_text("utf-8"))


async def accepted(asked: Asked) -> Response:
    return answer(attempt())


def test_texts_and_chat_bodies_are_sent_and_other_keys_are_not(tmp_path: Path) -> None:
    file = write(
        tmp_path / "requests.jsonl",
        {"text": "Where is my card?", "label": "card_arrival"},
        "",
        {
            "messages": [{"role": "user", "content": "Hi", "cache_control": {"type": "x"}}],
            "label": 3,
            "model": "gpt-4o",
            "temperature": 0.5,
            "metadata": {"feature": "chat"},
            "extra_body": {"top_k": 4, "stepwell": {"session": "s1"}},
        },
    )
    with listening(accepted) as endpoint:
        result, figures = replay(endpoint, file, "--concurrency", "1", "--task", "faq")

    assert result.exit_code == 0, result.output
    assert [asked.body for asked in endpoint.asked] == [
        {
            "model": "auto",
            "messages": [{"role": "user", "content": "Where is my card?"}],
            "stepwell": {"explain": True, "task": "faq"},
        },
        {
            "model": "auto",
            "messages": [{"role": "user", "content": "Hi", "cache_control": {"type": "x"}}],
            "temperature": 0.5,
            "metadata": {"feature": "chat"},
            "top_k": 4,
            "stepwell": {"session": "s1", "explain": True, "task": "faq"},
        },
    ]
    assert (figures["requests"], figures["answered"], figures["errors"]) == (2, 2, 0)


def test_a_task_of_the_line_is_kept(tmp_path: Path) -> None:
    message = {"role": "user", "content": "Hi"}
    file = write(
        tmp_path / "requests.jsonl",
        {"messages": [message], "stepwell": {"task": "code"}},
        {"messages": [message], "metadata": {"task": "math"}},
    )
    with listening(accepted) as endpoint:
        replay(endpoint, file, "--concurrency", "1", "--task", "faq")
    assert [a.body["stepwell"] for a in endpoint.asked] == [
        {"task": "code", "explain": True},
        {"explain": True},
    ]


def test_gzip_and_limit(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl.gz"
    lines = "".join(json.dumps({"text": f"question {i}"}) + "\n" for i in range(50))
    file.write_bytes(gzip.compress(lines.encode()))
    with listening(accepted) as endpoint:
        result, figures = replay(endpoint, file, "--limit", "7", "--concurrency", "1")
    assert result.exit_code == 0
    assert figures["requests"] == figures["answered"] == 7
    assert [a.text for a in endpoint.asked] == [f"question {i}" for i in range(7)]


def test_a_bad_line_is_named_and_counted_and_the_others_are_sent(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", {"text": "one"}, '{"text": ', {"label": 1}, {"text": "two"})
    with listening(accepted) as endpoint:
        result, figures = replay(endpoint, file)
    assert result.exit_code == 1
    assert f"{file}:2: not JSON" in result.stderr
    assert f"{file}:3: neither `messages` nor a `text`" in result.stderr
    assert sorted(a.text for a in endpoint.asked) == ["one", "two"]
    assert (figures["requests"], figures["answered"], figures["errors"]) == (4, 2, 2)
    assert figures["failures"]["bad line"]["count"] == 2


def test_a_gzip_file_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl.gz"
    lines = "".join(json.dumps({"text": f"{i} {'x' * i}"}) + "\n" for i in range(300))
    file.write_bytes(gzip.compress(lines.encode())[:-40])
    with listening(accepted) as endpoint:
        result, figures = replay(endpoint, file)
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
    assert figures["errors"] == 1
    assert figures["requests"] == len(endpoint.asked) + 1


def test_no_more_than_the_asked_concurrency_is_in_flight(tmp_path: Path) -> None:
    async def slow(asked: Asked) -> Response:
        await asyncio.sleep(0.02)
        return answer(attempt())

    file = write(tmp_path / "r.jsonl", *({"text": str(i)} for i in range(40)))
    with listening(slow) as endpoint:
        _, figures = replay(endpoint, file, "--concurrency", "5")
    assert figures["answered"] == 40
    assert endpoint.peak == 5


def test_money_adds_up_to_the_last_digit(tmp_path: Path) -> None:
    """0.1 + 0.2 is the famous case; picodollars beside dollars are the one floats lose."""
    costs = ["0.1", "0.2", "123456.000000000001", "0.000000000002", "0"]

    async def priced(asked: Asked) -> Response:
        escalated = attempt(outcome="escalated", reason="no_refusal", baseline_cost_usd=None)
        last = attempt("large", cost_usd=costs[int(asked.text)], baseline_cost_usd="0.7")
        return answer(escalated | {"cost_usd": "0.3"}, last)

    file = write(tmp_path / "r.jsonl", *({"text": str(i)} for i in range(5)))
    with listening(priced) as endpoint:
        _, figures = replay(endpoint, file)
    total = sum(map(Decimal, costs), Decimal()) + Decimal("1.5")
    assert figures["cost_usd"] == f"{total:f}" == "123457.800000000003"
    assert figures["baseline_cost_usd"] == "3.5"
    assert figures["saved_usd"] == "-123454.300000000003"
    assert figures["by_tier"]["small"]["cost_usd"] == "1.5"
    assert figures["by_tier"]["large"]["cost_usd"] == "123456.300000000003"
    assert (figures["attempts"], figures["prompt_tokens"], figures["completion_tokens"]) == (
        10,
        100,
        50,
    )
    assert figures["by_tier"]["small"]["escalated"] == {"no_refusal": 5}
    assert figures["by_tier"]["small"]["answered"] == 0
    assert figures["by_tier"]["large"]["answered"] == 5


def test_an_unknown_price_is_not_zero(tmp_path: Path) -> None:
    async def unpriced(asked: Asked) -> Response:
        cost = None if asked.text == "1" else "0.25"
        return answer(attempt(cost_usd=cost, baseline_cost_usd="1"))

    file = write(tmp_path / "r.jsonl", *({"text": str(i)} for i in range(3)))
    with listening(unpriced) as endpoint:
        result, figures = replay(endpoint, file)
    assert figures["cost_usd"] == "0.50"
    assert figures["unpriced_attempts"] == 1
    assert figures["saved_usd"] is None
    assert "without a known price: 1" in result.stdout


def test_cache_hits_stand_apart_from_attempts(tmp_path: Path) -> None:
    async def cached(asked: Asked) -> Response:
        if asked.number == 0:
            return answer(attempt())
        return answer(attempt(kind="cache_hit", cost_usd="0", prompt_tokens=0, completion_tokens=0))

    file = write(tmp_path / "r.jsonl", *({"text": "same"} for _ in range(4)))
    with listening(cached) as endpoint:
        _, figures = replay(endpoint, file, "--concurrency", "1")
    tier = figures["by_tier"]["small"]
    assert (figures["attempts"], figures["cache_hits"], tier["answered"]) == (1, 3, 4)
    assert tier["cache_hits"] == 3
    assert figures["baseline_cost_usd"] == "0.0004"
    assert figures["cached_latency_ms"] is not None


def test_failures_are_counted_by_kind_and_what_they_cost_is_kept(tmp_path: Path) -> None:
    async def failing(asked: Asked) -> Response:
        match asked.text:
            case "busy":
                return error(503, "overloaded")
            case "billed":
                lost = attempt(outcome="failed", cost_usd="0.5", baseline_cost_usd=None)
                return error(502, "no_tier_answered", stepwell={"attempts": [lost]})
            case "text":
                return PlainTextResponse("hello")
            case _:
                return answer(attempt())

    file = write(tmp_path / "r.jsonl", *({"text": t} for t in ("ok", "busy", "billed", "text")))
    with listening(failing) as endpoint:
        result, figures = replay(endpoint, file, "--concurrency", "1")
    assert result.exit_code == 1
    assert (figures["requests"], figures["answered"], figures["errors"]) == (4, 1, 3)
    assert {k: v["count"] for k, v in figures["failures"].items()} == {
        "503 overloaded": 1,
        "502 no_tier_answered": 1,
        "broken answer": 1,
    }
    assert figures["failures"]["503 overloaded"]["line"] == 2
    assert figures["cost_usd"] == "0.500000000001"
    assert figures["attempts"] == 2
    assert len(endpoint.asked) == 4, "nothing is retried unless asked"
    assert "503 overloaded" in result.stdout


def test_retries_are_the_callers_choice(tmp_path: Path) -> None:
    async def once(asked: Asked) -> Response:
        return error(503, "overloaded") if asked.number == 0 else answer(attempt())

    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(once) as endpoint:
        result, figures = replay(endpoint, file, "--retries", "1")
    assert result.exit_code == 0
    assert figures["answered"] == 1
    assert len(endpoint.asked) == 2


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(accepted) as endpoint:
        pass
    result, figures = replay(endpoint, file)
    assert result.exit_code == 1
    assert figures["failures"]["APIConnectionError"]["count"] == 1


def test_streams_are_timed_to_their_first_token(tmp_path: Path) -> None:
    final = {"decisions": [], "attempts": [attempt(cost_usd="0.25")]}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}

    async def streamed(asked: Asked) -> Response:
        assert asked.body["stream"] is True
        assert asked.body["stream_options"] == {"include_usage": True}
        return events(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Yes"}),
            chunk({"content": "."}),
            chunk({}, finish_reason="stop"),
            chunk(usage=usage, stepwell=final),
            pause_s=0.02,
        )

    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(streamed) as endpoint:
        result, figures = replay(endpoint, file, "--stream")
    assert result.exit_code == 0, result.output
    assert figures["cost_usd"] == "0.25"
    assert 15 < figures["ttft_ms"]["p50"] < figures["latency_ms"]["p50"] - 40
    assert figures["by_tier"]["small"]["ttft_ms"] == figures["ttft_ms"]


@pytest.mark.parametrize("how", ["cut", "error"])
def test_a_stream_that_breaks_off_is_lost(how: str, tmp_path: Path) -> None:
    async def broken(asked: Asked) -> Response:
        begun = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Ye"}))
        if how == "cut":
            return events(*begun, done=False)
        lost = attempt(outcome="failed", cost_usd="0.5", baseline_cost_usd=None)
        body = {"message": "gone", "code": "tier_unavailable", "stepwell": {"attempts": [lost]}}
        return events(*begun, {"error": body})

    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(broken) as endpoint:
        result, figures = replay(endpoint, file, "--stream")
    assert result.exit_code == 1
    kind = "broken answer" if how == "cut" else "tier_unavailable"
    assert figures["failures"][kind]["count"] == 1
    assert figures["cost_usd"] == ("0" if how == "cut" else "0.5")
    assert figures["cut_off"] == (1 if how == "cut" else 0)


def test_a_server_without_traces_is_replayed_too(tmp_path: Path) -> None:
    async def plain(asked: Asked) -> Response:
        return answer(model="llama")

    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(plain) as endpoint:
        result, figures = replay(endpoint, file)
    assert result.exit_code == 0
    assert figures["untraced"] == 1
    assert figures["by_tier"]["llama"]["prompt_tokens"] == 10
    assert figures["saved_usd"] is None
    assert "Answers without a route trace: 1" in result.stdout


def test_simulated_figures_are_labelled(tmp_path: Path) -> None:
    async def simulated(asked: Asked) -> Response:
        return answer(attempt(simulated=True))

    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(simulated) as endpoint:
        result, figures = replay(endpoint, file)
    assert figures["simulated"] is True
    assert figures["by_tier"]["small"]["simulated"] is True
    assert "Answers (simulated)" in result.stdout
    assert "~ simulated" in result.stdout


def test_the_key_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_KEY", "sw-abc")
    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(accepted) as endpoint:
        replay(endpoint, file, "--api-key-env", "TEAM_KEY")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-this-server")
        replay(endpoint, file)
    with_key, without = endpoint.asked
    assert with_key.headers["authorization"] == "Bearer sw-abc"
    assert "authorization" not in without.headers
    assert "openai-organization" not in without.headers
    result = runner.invoke(app, ["replay", str(file), "--api-key-env", "NO_SUCH_KEY"])
    assert result.exit_code == 2
    assert "NO_SUCH_KEY is not set" in result.stderr


def test_figures_on_stdout_are_alone_there(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(accepted) as endpoint:
        result = runner.invoke(app, ["replay", str(file), "--url", endpoint.url, "--json", "-"])
    assert json.loads(result.stdout)["requests"] == 1
    assert "Answers" in result.stderr


def test_a_figures_file_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", {"text": "one"})
    with listening(accepted) as endpoint:
        arguments = ["replay", str(file), "--url", endpoint.url]
        for out in (tmp_path / "none" / "f.json", tmp_path):
            assert runner.invoke(app, [*arguments, "--json", str(out)]).exit_code == 2
    assert endpoint.asked == []


def test_an_interrupt_prints_what_was_counted(tmp_path: Path) -> None:
    asked, over = threading.Event(), threading.Event()

    async def stuck(request: Asked) -> Response:
        if request.text == "quick":
            return answer(attempt())
        asked.set()
        await asyncio.to_thread(over.wait, 30)
        return answer(attempt())

    file = write(tmp_path / "r.jsonl", {"text": "quick"}, {"text": "slow"}, {"text": "later"})
    figures = tmp_path / "figures.json"
    with listening(stuck) as endpoint:
        command = [sys.executable, "-m", "deploy.cli", "replay", str(file), "--url", endpoint.url]
        command += ["--concurrency", "1", "--json", str(figures)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=30)
        over.set()
    assert process.returncode == 130
    assert "requests 1: 1 answered, 0 errors" in printed
    assert json.loads(figures.read_text("utf-8"))["answered"] == 1
