"""`stepwell prompt-cache plan` on small traces whose bills are worked out by hand."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app

KEYS = ["none", "always_5m", "always_1h", "planned", "oracle"]


def line(t: float, blocks: list[Any], prompt: int | None = None, completion: int = 0) -> str:
    tokens = 512 * len(blocks) if prompt is None else prompt
    made = {"t": t, "prompt_tokens": tokens, "completion_tokens": completion}
    return json.dumps({**made, "prefix_blocks": blocks})


def trace(path: Path, *lines: str) -> Path:
    file = path / "trace.jsonl"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def plan(file: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["prompt-cache", "plan", str(file), *options])


def usd(file: Path, *options: str) -> dict[str, float]:
    done = plan(file, "--json", *options)
    assert done.exit_code == 0, done.output
    found: dict[str, float] = json.loads(done.stdout)
    assert list(found) == KEYS
    return found


def test_the_same_prompt_twice_by_hand(tmp_path: Path) -> None:
    """Opus 5.5: $4 in, $0.20 read, $5 and $8 written, $20 out for a million tokens."""
    file = trace(tmp_path, line(0, [1, 2], completion=100), line(60, [1, 2], completion=100))
    found = usd(file)
    assert found["none"] == pytest.approx((2 * 1_024 * 4 + 200 * 20) / 1e6)
    assert found["always_5m"] == pytest.approx((1_024 * (5 + 0.2) + 200 * 20) / 1e6)
    assert found["always_1h"] == pytest.approx((1_024 * (8 + 0.2) + 200 * 20) / 1e6)
    assert found["oracle"] == found["always_5m"]
    assert found["planned"] >= found["oracle"]


def test_prompts_under_the_minimum_cost_the_same_whatever_is_done(tmp_path: Path) -> None:
    file = trace(tmp_path, *(line(10 * i, [1, 2, 3, 4], 2_000) for i in range(20)))
    found = usd(file, "--model", "claude-haiku-4-5")
    assert found == dict.fromkeys(KEYS, pytest.approx(20 * 2_000 * 1 / 1e6))


def test_long_prompts_have_their_own_prices(tmp_path: Path) -> None:
    """Haiku 5.5 beyond 100,000 tokens is five times as dear."""
    blocks = list(range(200))
    file = trace(tmp_path, line(0, blocks), line(10, blocks))
    found = usd(file, "--model", "claude-haiku-5-5")
    assert found["none"] == pytest.approx(2 * 102_400 * 0.5 / 1e6)
    assert found["always_5m"] == pytest.approx(102_400 * (0.625 + 0.05) / 1e6)


def test_stretched_time_lets_entries_expire(tmp_path: Path) -> None:
    file = trace(tmp_path, line(0, [1, 2]), line(100, [1, 2]))
    near, far = usd(file), usd(file, "--stretch", "6")
    assert near["always_5m"] < near["none"] < far["always_5m"]
    assert near["always_1h"] == far["always_1h"]


def test_a_table_says_what_is_assumed(tmp_path: Path) -> None:
    file = trace(tmp_path, line(0, [1, 2]), line(60, [1, 2]))
    done = plan(file, "--model", "claude-sonnet-5-5", "--first-token", "1.5", "--no-output")
    assert done.exit_code == 0, done.output
    for name in (*KEYS, "bound"):
        assert f"\n {name} " in done.stdout
    assert "input 2, read 0.1, write 5m 2.5, write 1h 4, output 10" in done.stdout
    assert "prefixes under 512 tokens" in done.stdout
    assert "1.5 s after its start" in done.stdout
    assert "input only" in done.stdout
    assert done.stderr == ""


def test_gzip_and_order_of_lines_do_not_matter(tmp_path: Path) -> None:
    lines = [line(0, [1, 2]), line(60, [1, 2, 3]), line(400, [1, 2, 4])]
    file = trace(tmp_path, *lines)
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress("\n".join(reversed(lines)).encode()))
    assert usd(file) == usd(packed)


def test_an_unknown_model_names_the_known(tmp_path: Path) -> None:
    done = plan(trace(tmp_path, line(0, [1])), "--model", "claude-opus-9")
    assert done.exit_code == 2
    assert "claude-opus-9 is not known" in " ".join(done.output.split())
    assert "claude-opus-5-5" in done.output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (line(0, [1]).replace('"t": 0', '"t": "now"'), "t: 'now' is no number of seconds"),
        (line(0, [1], -1), "prompt_tokens: -1 is no number of tokens"),
        (line(0, [1], completion=-3), "completion_tokens: -3 is no number of tokens"),
        (line(0, [1], 10**12), "prompt_tokens"),
        ('{"t": 0, "prompt_tokens": 1, "completion_tokens": 1}', "prefix_blocks: what is missing"),
        (line(0, [1, 2, 3], 1_024), "3 blocks of 512 tokens, but prompt_tokens 1024 make 2"),
        (line(0, [1, None], 1_024), "prefix_blocks[1]: neither a number nor a text"),
    ],
)
def test_a_bad_line_is_named_with_its_key(tmp_path: Path, wrong: str, said: str) -> None:
    file = trace(tmp_path, line(0, [1]), wrong)
    done = plan(file)
    assert done.exit_code == 2
    assert f"{file}:2: " in done.stderr
    assert said in done.stderr
    assert done.stdout == ""


def test_files_that_hold_nothing_or_break_off_are_errors(tmp_path: Path) -> None:
    empty = trace(tmp_path, "")
    assert "holds no request" in plan(empty).stderr
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(line(0, [1]).encode() * 1_000)[:-20])
    done = plan(broken)
    assert done.exit_code == 2
    assert f"{broken}:" in done.stderr
    assert plan(tmp_path / "missing.jsonl").exit_code == 2
