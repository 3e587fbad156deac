"""`stepwell cache stats`, `purge` and `warm` on a real database."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.threshold import Threshold
from deploy.cli.main import app
from serving.storage.database import Database
from serving.storage.semantic import Checked, SemanticEvidence

SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tier = {"name": "small", "model": "m", "backend": {"engine": "mock"}}
    price = {"kind": "tokens", "input_per_mtok": 1, "output_per_mtok": 10}
    whole = {
        "tiers": [{**tier, "price": price}],
        "storage": {"url": f"sqlite:///{tmp_path / 'stepwell.db'}"},
        "cache": {"semantic": {"enabled": True, "tag_ttl_s": {"prices": 60}}},
        "default_task": {"name": "default", "cache": {"enabled": True, "ttl_s": 9000}},
        "tasks": [
            {"name": "legal", "critical": True, "match": {"words": ["lawsuit"]}},
            {"name": "tools", "match": {"tools": True}, "cache": {"enabled": False}},
        ],
    }
    path = tmp_path / "stepwell.yaml"
    YAML(typ="safe").dump(whole, path)
    return path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["cache", *words])


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [SYSTEM, {"role": "user", "content": text}], **more}


def response(text: str | None, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {
        "model": "gpt-x",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **more}],
        "usage": usage,
    }


LINES: list[Any] = [
    chat("How do I pay?", answer="By card."),
    chat("How do I pay?", answer="By card or cash."),
    {"request": chat("Where are you?"), "response": response("In Oslo.")},
    {"body": chat("Is it open?"), "response": {"status_code": 200, "body": response("Yes.")}},
    {"messages": [*chat("Who are you?")["messages"], {"role": "assistant", "content": "A shop."}]},
    chat("What does it cost?", answer="9 EUR.", stepwell={"cache_tags": ["prices"]}),
    chat("May we end the lawsuit?", answer="Perhaps."),
    {"request": chat("Too long?"), "response": response("Ye", finish_reason="length")},
]
BAD: list[str] = ["{", "[]", '{"messages": []}', json.dumps(chat("And?"))]


def warmed(config: Path, tmp_path: Path, lines: list[str], *options: str) -> Result:
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(lines) + "\n")
    return run("warm", str(log), str(config), *options)


def entries(config: Path) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        from sqlalchemy import select

        from serving.storage.schema import semantic_entries

        database = await Database.open(f"sqlite:///{config.parent / 'stepwell.db'}")
        try:
            async with database.read() as connection:
                rows = await connection.execute(select(semantic_entries))
                return [dict(row) for row in rows.mappings()]
        finally:
            await database.close()

    return asyncio.run(read())


def test_a_log_fills_the_cache_and_can_be_seen_and_forgotten(config: Path, tmp_path: Path) -> None:
    done = warmed(config, tmp_path, [json.dumps(line) for line in LINES], "--tenant", "acme")
    assert done.exit_code == 0, done.output
    assert "8 lines: 5 answers kept, 1 times a question again." in done.stdout
    assert "1 not kept: task 'legal' is not cached" in done.stdout
    assert "1 not kept: the answer is refused, cut short" in done.stdout

    rows = {row["text"]: row for row in entries(config)}
    assert set(rows) == {
        "How do I pay?",
        "Where are you?",
        "Is it open?",
        "Who are you?",
        "What does it cost?",
    }
    assert len({row["scope"] for row in rows.values()}) == 1
    assert {row["tenant"] for row in rows.values()} == {"acme"}
    from cache.semantic.answer import load
    from cache.semantic.packed import unpack

    paid = load(unpack(rows["How do I pay?"]["answer"]))
    assert paid.completion.first.content == "By card or cash."
    assert float(rows["Where are you?"]["cost"]) == pytest.approx(0.0002)
    life = rows["What does it cost?"]["expires_at"] - rows["What does it cost?"]["created_at"]
    assert life.total_seconds() == pytest.approx(60, abs=2)

    stored = json.loads(run("stats", str(config), "--json").stdout)["stored"]
    assert [(s["tenant"], s["task"], s["entries"]) for s in stored] == [("acme", "default", 5)]
    assert "acme" in run("stats", str(config)).stdout

    for options, left in (
        (("--tenant", "other"), 5),
        (("--tenant", "acme", "--tag", "prices"), 4),
        (("--tenant", "acme", "--query", "who are"), 3),
        (("--all-tenants", "--older-than", "1h"), 3),
        (("--all-tenants",), 0),
    ):
        assert run("purge", str(config), *options).exit_code == 0
        assert len(entries(config)) == left, options
    assert "empty" in run("stats", str(config)).stdout


def test_lines_at_fault_are_named_and_the_rest_is_kept(config: Path, tmp_path: Path) -> None:
    done = warmed(config, tmp_path, [*BAD, json.dumps(LINES[0])])
    assert done.exit_code == 1
    assert "1 answer kept" in done.stdout
    for number, reason in (
        (1, "not JSON"),
        (2, "not a JSON object"),
        (3, "`messages` is not a list with content"),
        (4, "no answer"),
    ):
        assert f"line {number}: {reason}" in done.stderr


def test_a_purge_needs_a_tenant(config: Path) -> None:
    done = run("purge", str(config), "--task", "default")
    assert done.exit_code == 2
    assert "--all-tenants" in done.stderr


def test_wrong_options_are_refused(config: Path, tmp_path: Path) -> None:
    line = [json.dumps(LINES[0])]
    assert "no key 'k1'" in warmed(config, tmp_path, line, "--key", "k1").stderr
    assert "no tier 'huge'" in warmed(config, tmp_path, line, "--tier", "huge").stderr
    both = warmed(config, tmp_path, line, "--key", "k1", "--tenant", "acme")
    assert both.exit_code == 2


def test_the_false_hit_rate_comes_with_its_interval(config: Path) -> None:
    async def fill() -> None:
        database = await Database.open(f"sqlite:///{config.parent / 'stepwell.db'}")
        evidence = SemanticEvidence(database)
        for place, right in enumerate([True] * 49 + [False, None]):
            await evidence.add(Checked("acme", "default", f"r{place}", 4.0, right))
        await evidence.save({"default": Threshold(0.02).saved()})
        await database.close()

    asyncio.run(fill())
    found = json.loads(run("stats", str(config), "--json").stdout)
    rate = found["false_hits"]["default"]
    assert (rate["checked"], rate["wrong"]) == (50, 1)
    assert rate["estimate"] == 0.02
    assert rate["low"] < 0.02 < rate["high"] < 0.11
    assert found["cuts"]["default"] == Threshold(0.02).cut.score
    assert "2.0%" in run("stats", str(config)).stdout
