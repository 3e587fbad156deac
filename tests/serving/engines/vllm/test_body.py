"""The request as vLLM gets it."""

import time
from typing import Any

import pytest

from serving.backend import Call
from serving.engines.vllm.body import allowed_image, served_model, to_vllm
from serving.errors import InvalidRequest
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest


def tier(**engine: Any) -> TierSettings:
    return TierSettings.model_validate(
        {"name": "local", "model": "org/model", "backend": {"engine": "vllm", **engine}}
    )


def call(**more: Any) -> Call:
    return Call("r", "acme", time.monotonic() + 60, **more)


def request(**more: Any) -> ChatRequest:
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}
    return ChatRequest.model_validate(asked)


def test_what_is_ours_stays_here() -> None:
    asked = request(metadata={"a": "b"}, service_tier="flex", user="u", stepwell={"explain": True})
    body = to_vllm(asked, call(), tier(), stream=False)
    assert not {"metadata", "service_tier", "user", "stepwell"} & body.keys()
    assert body["model"] == "org/model"
    assert body["stream"] is False


def test_a_tenant_has_its_own_prefixes_whatever_the_client_says() -> None:
    asked = request(cache_salt="globex", priority=-1)
    body = to_vllm(asked, call(), tier(), stream=True)
    assert body["cache_salt"] == "acme"
    assert body["priority"] == 0


def test_what_nobody_waits_for_comes_later() -> None:
    now = to_vllm(request(), call(), tier(), stream=False)["priority"]
    later = to_vllm(request(), call(urgency="offline"), tier(), stream=False)["priority"]
    assert now < later


def test_every_attempt_has_an_id_of_its_own() -> None:
    one, two = (to_vllm(request(), call(), tier(), stream=False) for _ in range(2))
    assert one["request_id"] != two["request_id"]


@pytest.mark.parametrize(
    ("asked", "top"),
    [({}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 2}, 2)],
)
def test_logprobs_are_asked_without_alternatives(asked: dict[str, Any], top: int | None) -> None:
    body = to_vllm(request(**asked), call(), tier(), stream=False)
    assert body.get("top_logprobs") == top


def test_messages_as_templates_know_them() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Ho", "provider_content": {"provider": "anthropic"}},
        {"role": "user", "content": "More"},
    ]
    body = to_vllm(request(messages=messages), call(), tier(), stream=False)
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert "provider_content" not in body["messages"][2]


def test_the_task_chooses_its_adapter() -> None:
    adapters = {"paths": {"sql-lora": "/adapters/sql"}, "tasks": {"sql": "sql-lora"}}
    with_adapters = tier(adapters=adapters)
    assert served_model(with_adapters, "sql") == "sql-lora"
    assert served_model(with_adapters, "chat") == served_model(with_adapters, None) == "org/model"


HOSTS = ("images.example.com",)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("data:image/png;base64,AAAA", True),
        ("data:text/html,x", False),
        ("https://images.example.com/a.png", True),
        ("http://images.example.com:8080/a.png", True),
        ("https://images.example.com@evil.example/a.png", False),
        ("https://evil.example/images.example.com", False),
        ("https://images.example.com.evil.example/a", False),
        ("https://user:pw@images.example.com/a", False),
        ("file:///etc/passwd", False),
        ("http://169.254.169.254/latest", False),
        ("http://[", False),
    ],
)
def test_images_come_inline_or_from_allowed_hosts(url: str, *, good: bool) -> None:
    assert allowed_image(url, HOSTS) is good


def _with_part(part: dict[str, Any]) -> ChatRequest:
    return request(messages=[{"role": "user", "content": [part]}])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video_url", "video_url": {"url": "http://127.0.0.1/"}},
        {"type": "audio_url", "audio_url": {"url": "http://127.0.0.1/"}},
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}},
        {"type": "image_url", "image_url": {}},
        {"type": "file", "file": {"file_id": "f"}},
    ],
)
def test_vllm_fetches_nothing_else(part: dict[str, Any]) -> None:
    seeing = tier(images=True, image_hosts=HOSTS)
    with pytest.raises(InvalidRequest, match=r"messages\[0\].content\[0\]"):
        to_vllm(_with_part(part), call(), seeing, stream=False)


def test_an_allowed_image_passes() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://images.example.com/a.png"}}
    seeing = tier(images=True, image_hosts=HOSTS)
    body = to_vllm(_with_part(part), call(), seeing, stream=False)
    assert body["messages"][0]["content"] == [part]
    with pytest.raises(InvalidRequest, match="image_url"):
        to_vllm(_with_part(part), call(), tier(), stream=False)
