"""Parts of a stack on Ray fail while clients wait: what clients see, and what the ledger says."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.configs import claude_tier, mock_tier
from tests.ray.stack import RayStack, running

pytest.importorskip("ray", reason="these tests need the extra `ray`")

QUESTION: list[Any] = [{"role": "user", "content": "How do I reset the password of my account?"}]
EXPLAIN = {"stepwell": {"explain": True}}


def slow_tier(name: str, **backend: Any) -> dict[str, Any]:
    """Some 3 seconds for an answer, token by token."""
    tier = mock_tier(name, time_scale=1, ttft_ms=300, tokens_per_s=20, jitter=0, **backend)
    return {**tier, "retries": 0, "deadline_s": 15}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayStack]:
    late = {**slow_tier("late"), "deadline_s": 0.5}
    narrow = {**slow_tier("narrow"), "limits": {"max_concurrent": 1, "max_queued": 1}}
    tiers = [slow_tier("small"), late, narrow, mock_tier("large")]
    for fault in ("429", "529", "hang"):
        hosted = claude_tier(f"claude-{fault}", "claude-opus-5-5")
        hosted["backend"]["emulator_faults"] = {fault: 1.0}
        tiers.append({**hosted, "deadline_s": 1, "retries": 0})
    tiers.append(claude_tier("opus", "claude-opus-5-5"))
    tasks = [
        {"name": name, "start": name, "gate": "off"}
        for name in ("late", "narrow", "claude-429", "claude-529", "claude-hang")
    ]
    config = {"tiers": tiers, "tasks": tasks, "default_task": {"name": "default", "gate": "off"}}
    config["default_task"]["start"] = "small"  # type: ignore[index]  # a plain dict
    with running(config, tmp_path_factory.mktemp("ray"), gateways=2) as stack:
        yield stack


def ask(stack: RayStack, **more: Any) -> dict[str, Any]:
    with stack.client(timeout=60) as client:
        answer = client.chat.completions.create(
            **{"model": "auto", "messages": QUESTION, "extra_body": EXPLAIN, **more}
        )
    found: dict[str, Any] = (answer.model_extra or {})["stepwell"]
    return found


def outcomes(stack: RayStack, request_id: str) -> list[tuple[str, str, str]]:
    rows = stack.attempts(request_id, wait=0.5)
    return [(r["tier"], r["outcome"], r["error"] or "") for r in rows]


def recovered(stack: RayStack, tier: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if stack.replicas(f"tier-{tier}") and ask(stack)["tier"] == tier:
            return
        time.sleep(0.5)
    raise AssertionError(f"{tier} did not come back")


def test_a_tier_killed_mid_request_is_climbed_over(stack: RayStack) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, stack)
        time.sleep(1)
        stack.kill_one("tier-small")
        found = asked.result(60)
    assert found["tier"] in {"late", "narrow", "large"}
    first, *_, last = outcomes(stack, found["request_id"])
    assert first == ("small", "failed", "tier_unavailable")
    assert last[:2] == (found["tier"], "accepted")
    recovered(stack, "small")


def test_a_tier_killed_mid_stream_is_an_error_event(stack: RayStack) -> None:
    text: list[str] = []
    with stack.client(timeout=60) as client:
        stream = client.chat.completions.create(
            model="small", messages=QUESTION, stream=True, extra_body=EXPLAIN
        )
        for chunk in stream:
            text += [c.delta.content or "" for c in chunk.choices]
            if len(text) == 5:
                break
        stack.kill_one("tier-small")
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    assert "".join(text)
    body: Any = caught.value.body
    ((tier, outcome, error),) = outcomes(stack, body["stepwell"]["request_id"])
    assert (tier, outcome, error) == ("small", "failed", "tier_unavailable")
    (row,) = stack.attempts(body["stepwell"]["request_id"])
    assert row["usage_estimated"]
    assert row["cost"] > 0
    recovered(stack, "small")


def test_a_slow_tier_is_climbed_over_at_its_deadline(stack: RayStack) -> None:
    found = ask(stack, metadata={"task": "late"})
    assert found["tier"] == "narrow"
    first, last = outcomes(stack, found["request_id"])
    assert first == ("late", "failed", "tier_timeout")
    assert last == ("narrow", "accepted", "")


@pytest.mark.parametrize(
    ("fault", "error"),
    [("429", "tier_rate_limited"), ("529", "tier_unavailable"), ("hang", "tier_timeout")],
)
def test_hosted_faults_are_climbed_over(stack: RayStack, fault: str, error: str) -> None:
    found = ask(stack, metadata={"task": f"claude-{fault}"}, messages=QUESTION)
    assert found["tier"] == "opus"
    first, *_, last = outcomes(stack, found["request_id"])
    assert first == (f"claude-{fault}", "failed", error)
    assert last == ("opus", "accepted", "")


def test_a_full_queue_is_climbed_over_or_said(stack: RayStack) -> None:
    """Tier `narrow` runs one call and lets one wait."""
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, stack, metadata={"task": "narrow"}) for _ in range(4)]
        found = [a.result(60) for a in asked]
        assert sorted(f["tier"] for f in found) == ["large", "large", "narrow", "narrow"]
        refused = [f for f in found if f["tier"] == "large"]
        assert outcomes(stack, refused[0]["request_id"])[0] == (
            "narrow",
            "failed",
            "tier_queue_full",
        )
        by_name = [pool.submit(ask, stack, model="narrow") for _ in range(4)]
        errors = [e for a in by_name if (e := a.exception(60)) is not None]
    assert len(errors) == 2
    for error in errors:
        assert isinstance(error, openai.APIStatusError)
        assert error.status_code in {429, 503}
        assert int(error.response.headers["retry-after"]) >= 1


def test_a_client_that_leaves_mid_stream_stops_the_tier(stack: RayStack) -> None:
    with stack.client(timeout=60) as client:
        stream = client.chat.completions.create(model="small", messages=QUESTION, stream=True)
        next(iter(stream))
        assert stack.metric("stepwell_tier_running", tier="small") == 1
        stream.close()
    time.sleep(0.5)
    assert stack.metric("stepwell_tier_running", tier="small") == 0
    (row,) = stack.rows("SELECT * FROM attempts ORDER BY created_at DESC LIMIT 1")
    assert (row["tier"], row["outcome"]) == ("small", "cancelled")
    assert row["completion_tokens"] > 0
    assert row["latency_ms"] < 2_000


def test_a_client_that_leaves_while_it_waits_stops_the_tier(stack: RayStack) -> None:
    """Every time: also on connections from HAProxy to the gateway that were used before."""
    body = {"model": "small", "messages": QUESTION}
    for _ in range(3):
        assert stack.metric("stepwell_tier_running", tier="small") == 0
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{stack.url}/v1/chat/completions", json=body, timeout=0.6)
        time.sleep(0.5)
        (row,) = stack.rows("SELECT * FROM attempts ORDER BY created_at DESC LIMIT 1")
        assert (row["tier"], row["outcome"]) == ("small", "cancelled")


def test_clients_cannot_steer_ray_by_its_headers(stack: RayStack) -> None:
    headers = {"x-request-timeout-seconds": "0.001", "x-request-disconnect-disabled": "?0"}
    with stack.client(timeout=60) as client:
        answer = client.chat.completions.with_raw_response.create(
            model="large", messages=QUESTION, extra_headers=headers
        )
    assert answer.status_code == 200
    (request_id,) = answer.headers.get_list("x-request-id")  # the API's, and none of Ray Serve's
    assert request_id.startswith("req_")


def test_a_gateway_killed_under_load_loses_only_what_it_held(stack: RayStack) -> None:
    """Its clients see a broken connection, which the SDK's retry answers; others see nothing."""
    stop = threading.Event()
    began = int(time.time())
    lost: list[Exception] = []
    answered = 0

    def load() -> int:
        count = 0
        with stack.client(timeout=60).with_options(max_retries=3) as client:
            while not stop.is_set():
                try:
                    client.chat.completions.create(model="large", messages=QUESTION)
                    count += 1
                except openai.OpenAIError as error:
                    lost.append(error)
        return count

    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(load) for _ in range(8)]
        time.sleep(1.5)
        stack.kill_one("gateway")
        time.sleep(6)
        stop.set()
        answered = sum(w.result(60) for w in workers)
    assert lost == []
    assert answered > 50
    # Of unbilled work a kill may cost the rows of one flush interval, and no more.
    (ledger,) = stack.rows(
        "SELECT count(*) AS n FROM attempts WHERE tier = 'large' AND outcome = 'accepted'"
        " AND created_at >= ?",
        began * 1_000_000,
        wait=1,
    )
    assert ledger["n"] >= 0.9 * answered
    until = time.monotonic() + 30
    while len(stack.replicas("gateway")) < 2 and time.monotonic() < until:
        time.sleep(0.5)
    assert len(stack.replicas("gateway")) == 2


def test_one_scrape_covers_every_gateway_the_killed_one_too(stack: RayStack) -> None:
    ledger = stack.rows("SELECT count(*) AS n FROM attempts WHERE outcome = 'accepted'", wait=1)
    for _ in range(4):  # whichever gateway answers
        counted = stack.metric("stepwell_attempts_total", kind="attempt", outcome="accepted")
        assert counted >= 0.95 * ledger[0]["n"]
