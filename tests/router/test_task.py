"""The task classifier."""

import time
from typing import Any

import pytest

from router.task import SCANNED_CHARS, TaskClassifier, scanned
from serving.backend import Call
from serving.errors import ConfigError
from serving.settings.root import Settings
from serving.settings.tasks import TaskMatch, TaskSettings
from serving.settings.tiers import MockEngine, TierSettings
from serving.wire.chat import ChatRequest

TIERS = (TierSettings(name="small", model="m", backend=MockEngine(engine="mock")),)
TASKS = (
    TaskSettings(name="legal", match=TaskMatch(words=("contract", "Straße", "C++", "new york"))),
    TaskSettings(name="extract", match=TaskMatch(json_output=True)),
    TaskSettings(name="tools", match=TaskMatch(tools=True)),
    TaskSettings(name="code", match=TaskMatch(code=True, words=("python",))),
    TaskSettings(name="long", match=TaskMatch(min_prompt_tokens=1_000)),
    TaskSettings(name="by-tag-only"),
)
CLASSIFIER = TaskClassifier(Settings(tiers=TIERS, tasks=TASKS))
TOOL = {"type": "function", "function": {"name": "f"}}


def call(task: str | None = None) -> Call:
    return Call(request_id="r", tenant="t", deadline=time.monotonic() + 60, task=task)


def ask(text: str, **more: Any) -> ChatRequest:
    messages = [{"role": "user", "content": text}]
    return ChatRequest.model_validate({"model": "auto", "messages": messages, **more})


def classified(request: ChatRequest, tag: str | None = None) -> str:
    return CLASSIFIER.classify(request, call(tag)).task.name


def test_a_known_tag_decides() -> None:
    found = CLASSIFIER.classify(ask("a contract"), call("by-tag-only"))
    assert (found.task.name, found.reason) == ("by-tag-only", "tagged 'by-tag-only'")
    assert classified(ask("a contract"), "default") == "default"


def test_an_unknown_tag_gets_the_default_and_says_so() -> None:
    found = CLASSIFIER.classify(ask("a contract"), call("nonsense"))
    assert (found.task.name, found.reason) == ("default", "tag 'nonsense' names no known task")


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Is this CONTRACT valid?", "legal"),
        ("contract", "legal"),
        ("Read (contract), please", "legal"),
        ("subcontractors and contracts", "default"),
        ("contract_id", "default"),
        ("Wo ist die straße?", "legal"),
        ("die Straßenbahn", "default"),
        ("in C++11 or so", "legal"),
        ("a New York lawyer", "legal"),
        ("plain words", "default"),
        ("", "default"),
        ("import the goods from abroad", "default"),
        ("Select a gift from the list; thanks", "default"),
        ("My function at work (in sales) is new.", "default"),
        ("Fix:\n```\nx\n```", "code"),
        ("what does `foo` do?\ndef foo(x):\n    return x", "code"),
        ("SELECT name FROM users", "code"),
        ("const a = 1", "code"),
        ("Traceback (most recent call last)", "code"),
        ("foo();\nbar();", "code"),
        ("python question", "code"),
        ("word " * 1_000, "long"),
    ],
)
def test_the_last_user_message_decides_without_a_tag(text: str, task: str) -> None:
    assert classified(ask(text)) == task


def test_kinds_of_requests_decide_without_a_tag() -> None:
    assert classified(ask("hi", response_format={"type": "json_object"})) == "extract"
    assert classified(ask("hi", response_format={"type": "text"})) == "default"
    assert classified(ask("hi", tools=[TOOL])) == "tools"


def test_the_first_task_that_fits_wins() -> None:
    found = CLASSIFIER.classify(ask("python contract", tools=[TOOL]), call())
    assert (found.task.name, found.reason) == (
        "legal",
        "the last user message has the word 'contract'",
    )


def test_only_the_last_user_message_is_read() -> None:
    messages = [
        {"role": "system", "content": "You know about every contract."},
        {"role": "user", "content": "contract"},
        {"role": "assistant", "content": "contract"},
        {"role": "user", "content": "thanks"},
        {"role": "assistant", "content": "contract"},
    ]
    assert classified(ask("x", messages=messages)) == "default"
    assert classified(ask("x", messages=messages[:1])) == "default"


def test_of_a_long_message_both_ends_are_read_and_not_the_middle() -> None:
    pad = "filler " * (SCANNED_CHARS // 7 + 10)
    assert classified(ask("contract " + pad * 2)) == "legal"
    assert classified(ask(pad * 2 + " contract")) == "legal"
    assert classified(ask(pad + " contract " + pad)) != "legal"


def test_parts_are_read_like_text() -> None:
    pad = "filler " * 1_000
    texts = ["a contract", pad, "the end"]
    parts: list[dict[str, Any]] = [{"type": "text", "text": t} for t in texts]
    parts.insert(1, {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}})
    request = ask("x", messages=[{"role": "user", "content": parts}])
    assert classified(request) == "legal"
    read = scanned(request).decode()
    assert read.startswith("a contract\nfiller ")
    assert read.endswith("filler \nthe end")
    assert len(read) == 2 * SCANNED_CHARS + 1


def test_text_that_is_no_valid_unicode_is_read_all_the_same() -> None:
    assert classified(ask("\ud800 contract")) == "legal"


def test_among_many_tasks_the_first_whose_words_stand_there_wins() -> None:
    many = tuple(
        TaskSettings(name=f"t{i}", match=TaskMatch(words=tuple(f"w{i}x{k}" for k in range(20))))
        for i in range(200)
    )
    classifier = TaskClassifier(Settings(tiers=TIERS, tasks=many))
    found = classifier.classify(ask("w19x1 in w199x19, w150x3 and pw7x7"), call())
    assert (found.task.name, found.reason) == ("t19", "the last user message has the word 'w19x1'")
    assert classifier.classify(ask("w19x1s"), call()).task.name == "default"


def test_more_words_than_can_be_held_are_a_matter_of_the_config() -> None:
    words = tuple(f"{i:05}" * 40 for i in range(30_000))
    tasks = (TaskSettings(name="huge", match=TaskMatch(words=words)),)
    with pytest.raises(ConfigError, match="too many or too long"):
        TaskClassifier(Settings(tiers=TIERS, tasks=tasks))


def test_a_long_prompt_takes_no_longer_than_a_short_one() -> None:
    """Ten megabytes would take ten milliseconds and more if they were read."""
    classifier = TaskClassifier(Settings(tiers=TIERS, tasks=TASKS[:4]))
    huge = ask("word " * 2_000_000)
    best = min(_seconds(classifier, huge) for _ in range(20))
    assert best < 0.002


def _seconds(classifier: TaskClassifier, request: ChatRequest) -> float:
    start = time.perf_counter()
    classifier.classify(request, call())
    return time.perf_counter() - start
