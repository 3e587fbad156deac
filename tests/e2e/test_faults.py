"""What goes wrong, seen by a client, and what the ledger says was billed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from serving.settings.key_hash import digest
from tests.e2e.configs import ladder, mock_tier
from tests.e2e.stack import Stack, running
from tests.serving.engines.openai_compatible.fake import answer, answers, serving

QUESTION: list[Any] = [{"role": "user", "content": "How do I reset the password of my account?"}]
KEY = "sw-test-key-0123456789-abcdefghijklmnop"
BODY = {"model": "auto", "messages": QUESTION}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    key = {"id": "k1", "tenant": "acme", "hash": digest(KEY), "scopes": ["chat", "models"]}
    config = ladder(keys=[key])
    config["tiers"][0]["deadline_s"] = 0.3
    config["tiers"][0]["retries"] = 0
    config["limits"] = {"max_body_bytes": 100_000}
    with running(config, tmp_path_factory.mktemp("faults")) as stack:
        yield stack


def ask(stack: Stack, fault: str, **more: Any) -> tuple[openai.types.chat.ChatCompletion, Any]:
    """An answer while tier `small` misbehaves, and its ledger rows."""
    with stack.client(KEY) as client:
        answer = client.chat.completions.create(
            model="auto",
            messages=QUESTION,
            metadata={"mock_fault": fault, "mock_fault_tier": "small"},
            extra_body={"stepwell": {"explain": True}},
            **more,
        )
    route = (answer.model_extra or {})["stepwell"]
    return answer, stack.attempts(route["request_id"])


SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize(
    ("fault", "more", "outcome", "reason"),
    [
        ("garbage", {"response_format": SCHEMA}, "escalated", "json"),
        ("refuse", {}, "escalated", "refusal"),
        ("truncate", {}, "escalated", "truncated"),
        ("hang", {}, "failed", "tier_timeout"),
        ("error", {}, "failed", "tier_unavailable"),
    ],
)
def test_a_bad_tier_is_climbed_over_and_billed(
    stack: Stack, fault: str, more: dict[str, Any], outcome: str, reason: str
) -> None:
    answer, rows = ask(stack, fault, **more)
    assert answer.choices[0].finish_reason == "stop"
    assert [r["tier"] for r in rows] == ["small", "large"]
    assert rows[0]["outcome"] == outcome
    assert reason in rows[0]["reason"]
    assert rows[1]["outcome"] == "accepted"
    if outcome == "escalated":  # the tier answered, so it was paid for
        assert rows[0]["cost"] > 0
    assert {r["tenant"] for r in rows} == {"acme"}


@pytest.mark.parametrize("fault", ["refuse", "hang", "error", "garbage"])
def test_streams_climb_too(stack: Stack, fault: str) -> None:
    with stack.client(KEY) as client:
        stream = client.chat.completions.create(
            model="auto",
            messages=QUESTION,
            stream=True,
            stream_options={"include_usage": True},
            response_format=SCHEMA if fault == "garbage" else {"type": "text"},  # type: ignore[call-overload]  # built as a plain dict
            metadata={"mock_fault": fault, "mock_fault_tier": "small"},
        )
        chunks = list(stream)
    figures = chunks[-1].usage.model_extra["stepwell"]
    assert figures["tier"] == "large"
    assert figures["escalations"] == 1


def test_a_fault_of_every_tier_is_a_clear_error(stack: Stack) -> None:
    with stack.client(KEY) as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model="small", messages=QUESTION, metadata={"mock_fault": "error"}
        )
    assert caught.value.status_code in {502, 503}
    assert caught.value.code


def test_a_stream_that_breaks_off_says_so_and_shows_its_route(stack: Stack) -> None:
    with stack.client(KEY) as client:
        stream = client.chat.completions.create(
            model="small",
            messages=QUESTION,
            stream=True,
            metadata={"mock_fault": "error_midstream"},
            extra_body={"stepwell": {"explain": True}},
        )
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    body: Any = caught.value.body
    (row,) = stack.attempts(body["stepwell"]["request_id"])
    assert row["outcome"] == "failed"
    assert row["usage_estimated"]
    assert row["cost"] > 0


def post(stack: Stack, content: bytes, key: str = KEY, **headers: str) -> httpx2.Response:
    sent = {"content-type": "application/json", "authorization": f"Bearer {key}", **headers}
    return httpx2.post(f"{stack.url}/v1/chat/completions", content=content, headers=sent)


def deep(levels: int) -> bytes:
    return (
        b'{"model":"auto","messages":[{"role":"user","content":"x"}],"x":'
        + b"[" * levels
        + b"]" * levels
        + b"}"
    )


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b'{"model":"auto","messages":[' + b" " * 200_000 + b"]}", 413, "100000"),
        (b'{"model": "auto", "messages": [', 400, "JSON"),
        (deep(200), 400, "deep"),
        (b'{"model":"auto"}', 400, "messages"),
        (b'{"model":"nope","messages":[{"role":"user","content":"x"}]}', 404, "nope"),
        (b'{"model":"auto","messages":[{"role":"usr","content":"x"}]}', 400, "role"),
    ],
)
def test_bad_bodies(stack: Stack, content: bytes, status: int, said: str) -> None:
    before = stack.rows("SELECT count(*) AS n FROM attempts")[0]["n"]
    response = post(stack, content)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert said in error["message"]
    assert response.headers["x-request-id"]
    assert stack.rows("SELECT count(*) AS n FROM attempts")[0]["n"] == before


def test_a_bad_key_is_refused(stack: Stack) -> None:
    with stack.client("sw-wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="auto", messages=QUESTION)


BOMB = "^(a+)+$"
FUSE = "a" * 5_000 + "!"
"""A backtracking engine needs 2^5000 steps to find that the one does not match the other."""

REGEX = {"kind": "regex", "pattern": BOMB, "mode": "full"}
BOMB_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "pattern": BOMB}},
    "required": ["a"],
}


@pytest.mark.parametrize(
    ("text", "options", "check"),
    [
        (FUSE, {"stepwell": {"validators": [REGEX]}}, "regex"),
        (
            json.dumps({"a": FUSE}),
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "b", "schema": BOMB_SCHEMA},
                }
            },
            "json_schema",
        ),
    ],
)
def test_a_regex_bomb_neither_hangs_nor_passes(
    tmp_path: Path, text: str, options: dict[str, Any], check: str
) -> None:
    """Patterns run in linear time, so a tier's answer to them is judged like any other."""
    with serving() as upstream:
        upstream.reply = answers(answer(text))
        tier = {**mock_tier("only"), "backend": {"engine": "openai", "base_url": upstream.url}}
        with running({"tiers": [tier]}, tmp_path) as stack:
            asked = {"model": "auto", "messages": QUESTION, **options}
            url = f"{stack.url}/v1/chat/completions"
            response = httpx2.post(url, json=asked, timeout=5)
            (row,) = stack.rows("SELECT * FROM attempts")
    assert response.status_code == 200
    assert check in response.headers["x-stepwell-best-effort"]
    assert row["outcome"] == "best_effort"
    assert row["cost"] > 0


@pytest.mark.parametrize(
    "validator",
    [
        {"kind": "regex", "pattern": "(a"},
        {"kind": "regex", "pattern": r"(a)\1"},
        {"kind": "json_schema", "schema": {"$ref": "http://127.0.0.1:9/schema.json"}},
        {"kind": "json_schema", "schema": {"type": "strin"}},
    ],
)
def test_bad_validators_are_refused_by_name(stack: Stack, validator: dict[str, Any]) -> None:
    with stack.client(KEY) as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="auto", messages=QUESTION, extra_body={"stepwell": {"validators": [validator]}}
        )
    assert caught.value.param == "stepwell.validators.0"


def test_unreachable_tier_config_is_named(tmp_path: Any) -> None:
    config = {
        "tiers": [
            {
                **mock_tier("gone"),
                "backend": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1"},
                "retries": 0,
            },
            mock_tier("there"),
        ]
    }
    with running(config, tmp_path) as stack, stack.client() as client:
        raw = client.chat.completions.with_raw_response.create(model="auto", messages=QUESTION)
        assert raw.headers["x-stepwell-tier"] == "there"
