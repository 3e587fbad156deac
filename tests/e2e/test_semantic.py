"""The semantic cache through the whole stack: rephrasings are answered at once, and it is told."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deploy.cli.main import app
from serving.settings.key_hash import digest
from tests.e2e.configs import ladder
from tests.e2e.stack import Stack, running

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

ASKED = "How do I reset my password?"
AGAIN = "How can I reset my password?"
OTHER = "How do I delete my account?"

BARE = """
import asyncio, importlib.util, sys
EXTRA = {"numpy", "faiss", "onnx", "onnxruntime", "safetensors", "tokenizers"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRA:
            raise ImportError(name)
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in EXTRA else real(name, *a)
sys.meta_path.insert(0, Refuse())
from deploy.build import opened
from serving.errors import ConfigError
from serving.settings.load import load_settings
async def main():
    try:
        async with opened(load_settings(sys.argv[1])):
            print("plain", sorted(EXTRA & set(sys.modules)))
    except ConfigError as error:
        print(error.message)
asyncio.run(main())
"""


def config(semantic: dict[str, Any] | None = None, **task: Any) -> dict[str, Any]:
    own = {"enabled": True, "semantic": {"delta": 0.1, "audit": 0.0, **task}}
    return ladder(
        default_task={"name": "default", "gate": "off", "cache": own},
        cache={"semantic": {"enabled": True, "deadline_ms": 5_000, **(semantic or {})}},
    )


def ask(stack: Stack, text: str, **extra: Any) -> dict[str, Any]:
    """The route of an answer, with the answer's text under `text`."""
    body = {"explain": True, **extra.pop("stepwell", {})}
    with stack.client() as client:
        answer = client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": text}],
            extra_body={"stepwell": body},
            **extra,
        )
    route: dict[str, Any] = (answer.model_extra or {})["stepwell"]
    return {**route, "text": answer.choices[0].message.content}


def kept(stack: Stack, count: int) -> None:
    """Waits until so many answers are in the database."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if len(stack.rows("SELECT id FROM semantic_entries", wait=0.02)) >= count:
            return
    raise AssertionError("the answer was not kept")


def test_a_rephrasing_is_answered_at_once_at_no_cost(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        first = ask(stack, ASKED)
        kept(stack, 1)
        again = ask(stack, AGAIN)
        other = ask(stack, OTHER)
        (row,) = stack.attempts(again["request_id"])
        (entry,) = stack.rows("SELECT * FROM semantic_entries WHERE text = ?", ASKED)
    assert (first["cache"], again["cache"], other["cache"]) == ("miss", "semantic", "miss")
    assert again["text"] == first["text"] != other["text"]
    assert again["cost_usd"] == "0"
    assert float(again["baseline_cost_usd"]) > 0
    (note,) = (d for d in again["decisions"] if d["stage"] == "semantic")
    assert note["decision"] == "hit"
    assert "cosine 0.9" in note["reason"]
    assert "USD saved" in note["reason"]
    assert (row["kind"], row["reason"], row["cost"]) == ("cache_hit", "semantic_cache_hit", 0)
    assert row["baseline_cost"] > 0
    assert (entry["tenant"], entry["request_id"]) == ("default", first["request_id"])


def streamed(stack: Stack, text: str) -> tuple[str, dict[str, Any]]:
    """A stream's text, and its last figures."""
    said, figures = "", {}
    with stack.client() as client:
        chunks = client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": text}],
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in chunks:
            said += "".join(c.delta.content or "" for c in chunk.choices)
            if chunk.usage is not None:
                figures = (chunk.usage.model_extra or {})["stepwell"]
    return said, figures


def test_streams_and_headers(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        first, _ = streamed(stack, ASKED)
        kept(stack, 1)
        again, figures = streamed(stack, AGAIN)
        body = {"model": "auto", "messages": [{"role": "user", "content": AGAIN}]}
        whole = httpx2.post(f"{stack.url}/v1/chat/completions", json=body)
    assert again == first
    assert (figures["cache"], figures["cost_usd"]) == ("semantic", "0")
    assert whole.headers["x-stepwell-cache"] == "semantic"
    assert whole.headers["x-stepwell-cost-usd"] == "0"


def test_it_survives_a_restart_and_hears_of_a_purge(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        first = ask(stack, ASKED)
        kept(stack, 1)
    with running(config({"poll_s": 0.05}), tmp_path) as stack:
        again = ask(stack, AGAIN)
        assert (again["cache"], again["text"]) == ("semantic", first["text"])
        assert ask(stack, ASKED)["cache"] == "exact"
        done = CliRunner().invoke(
            app, ["cache", "purge", str(tmp_path / "stepwell.yaml"), "--tenant", "default"]
        )
        assert "1 entry forgotten.\n" in done.stdout
        until = time.monotonic() + 10
        while ask(stack, AGAIN, stepwell={"cache_tags": ["x"]})["cache"] == "semantic":
            assert time.monotonic() < until, "the purge was not heard of"


def test_a_wrong_hit_is_found_by_an_audit_and_forgotten(tmp_path: Path) -> None:
    """The mock answers each of these in other words, so whatever is shared is wrong."""
    asked, again = "How do I reset my phone alarm?", "How can I reset my phone alarm?"
    with running(config(audit=1.0, compare="exact"), tmp_path) as stack:
        ask(stack, asked)
        kept(stack, 1)
        hit = ask(stack, again)
        until = time.monotonic() + 10
        while not (checks := stack.rows("SELECT * FROM cache_checks", wait=0.02)):
            assert time.monotonic() < until, "nothing was audited"
        while stack.rows("SELECT id FROM semantic_entries WHERE text = ?", asked, wait=0.02):
            assert time.monotonic() < until, "the wrong entry is still there"
        rows = stack.rows("SELECT * FROM attempts WHERE kind = 'cache_check'")
        scrape = httpx2.get(f"{stack.url}/metrics").text
        report = CliRunner().invoke(app, ["report", str(tmp_path / "stepwell.yaml"), "--json"])
    assert hit["cache"] == "semantic"
    assert [(c["task"], c["right"]) for c in checks] == [("default", 0)]
    assert [(r["request_id"], r["outcome"]) for r in rows] == [(hit["request_id"], "accepted")]
    assert rows[0]["cost"] > 0
    assert rows[0]["baseline_cost"] is None
    counted = 'stepwell_semantic_checks_total{result="wrong",source="hit",task="default"} 1.0'
    assert counted in scrape
    figures = json.loads(report.stdout)
    assert figures["total"]["semantic_hits"] == figures["total"]["cache_checks"] == 1
    assert figures["checked_hits"] == {"default": {"checked": 1, "wrong": 1}}
    assert any("1 wrong, 100.0%" in note for note in figures["notes"])


def test_identical_requests_at_once_are_answered_once(tmp_path: Path) -> None:
    slow = config()
    slow["tiers"][0]["backend"] |= {"time_scale": 1, "ttft_ms": 500}
    with running(slow, tmp_path) as stack, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(stack, ASKED), range(8)))
        rows = stack.rows("SELECT kind, reason FROM attempts")
    assert len({a["text"] for a in answers}) == 1
    assert sorted(a["cache"] for a in answers) == ["exact"] * 7 + ["miss"]
    assert sorted(r["kind"] for r in rows) == ["attempt"] + ["cache_hit"] * 7
    assert {r["reason"] for r in rows if r["kind"] == "cache_hit"} == {"merged"}


def test_a_client_that_leaves_ends_the_generation(tmp_path: Path) -> None:
    slow = config()
    slow["tiers"][0]["backend"] |= {"time_scale": 1, "ttft_ms": 30_000}
    with running(slow, tmp_path) as stack:
        body = {"model": "auto", "messages": [{"role": "user", "content": ASKED}]}
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{stack.url}/v1/chat/completions", json=body, timeout=1.0)
        until = time.monotonic() + 10
        while not (rows := stack.rows("SELECT * FROM attempts", wait=0.05)):
            assert time.monotonic() < until, "the attempt goes on"
    assert [(r["outcome"], r["reason"]) for r in rows] == [("cancelled", "client_closed")]


def test_tenants_and_contexts_do_not_meet(tmp_path: Path) -> None:
    keys = {name: f"sk-stepwell-{digit * 48}" for name, digit in (("acme", "a1"), ("globex", "b2"))}
    whole = config()
    whole["keys"] = [
        {"id": name, "tenant": name, "hash": digest(key)} for name, key in keys.items()
    ]

    def cache_of(name: str, text: str, **fields: Any) -> str:
        with stack.client(keys[name]) as client:
            answer = client.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": text}], **fields
            )
        assert answer.usage is not None
        return str((answer.usage.model_extra or {})["stepwell"]["cache"])

    with running(whole, tmp_path) as stack:
        assert cache_of("acme", ASKED) == "miss"
        kept(stack, 1)
        assert cache_of("globex", ASKED) == "miss"
        assert cache_of("globex", AGAIN, temperature=0.5) == "miss"
        assert cache_of("acme", AGAIN, temperature=0.5) == "miss"
        assert cache_of("acme", AGAIN) == "semantic"


def test_without_the_extra_it_says_what_is_missing(tmp_path: Path) -> None:
    """In a process of its own, in which the packages of the extra can't be found."""
    for wanted, expected in ((True, "pip install 'stepwell[cache]'"), (False, "plain []")):
        whole = config({"enabled": wanted})
        whole["storage"] = {"url": f"sqlite:///{tmp_path / 'x.db'}"}
        path = tmp_path / "x.yaml"
        YAML(typ="safe").dump(whole, path)
        done = subprocess.run(
            [sys.executable, "-c", BARE, str(path)], capture_output=True, text=True, check=False
        )
        assert expected in done.stdout, done.stdout + done.stderr


def test_a_verifier_is_metered_as_a_check(tmp_path: Path) -> None:
    """The mock says neither yes nor no, so what it is asked about stays a miss."""
    whole = config({"verifier": "small"}, delta=0.005)
    whole["tiers"][0]["price"] = {"kind": "tokens", "input_per_mtok": 0.0, "output_per_mtok": 0.01}
    with running(whole, tmp_path) as stack:
        ask(stack, ASKED)
        kept(stack, 1)
        again = ask(stack, AGAIN)
        rows = stack.attempts(again["request_id"])
    assert again["cache"] == "miss"
    kinds = {(r["kind"], r["tier"], r["outcome"]) for r in rows}
    assert ("cache_check", "small", "compared") in kinds
    assert ("attempt", "small", "accepted") in kinds


def test_a_failed_spot_check_evicts_the_answer(tmp_path: Path) -> None:
    whole = config()
    whole["default_task"]["spot_check"] = {"share": 1.0, "compare": "exact"}
    whole["tiers"][0]["backend"] |= {"ability": -9.0}
    with running(whole, tmp_path) as stack:
        first = ask(stack, ASKED)
        until = time.monotonic() + 10
        while not stack.rows("SELECT * FROM outcomes WHERE agreed = 0", wait=0.02):
            assert time.monotonic() < until, "no spot check was made"
        while stack.rows("SELECT id FROM semantic_entries", wait=0.02):
            assert time.monotonic() < until, "the wrong answer is still there"
        again = ask(stack, AGAIN)
    assert (first["cache"], again["cache"]) == ("miss", "miss")


def test_what_was_made_last_is_kept_when_the_server_ends(tmp_path: Path) -> None:
    with running(config(), tmp_path) as stack:
        ask(stack, ASKED)
    assert len(stack.rows("SELECT id FROM semantic_entries", wait=0)) == 1
