"""Everything below the classifier sees the class; the trace says why."""

from router.classified import Classified
from router.live import CascadeBackend
from router.task import TaskClassifier
from serving.backend import Call
from serving.settings.root import Settings
from serving.settings.tasks import TaskMatch, TaskSettings
from serving.settings.tiers import MockEngine, TierSettings
from tests.router.fakes import Ladder, Reply, make_call, make_request, make_task, read

TASKS = (
    make_task("refunds", match=TaskMatch(words=("refund",)), start="top"),
    make_task("tagged"),
)
TIERS = tuple(
    TierSettings(name=name, model=name, backend=MockEngine(engine="mock"))
    for name in ("small", "top")
)


def task_of(name: str | None) -> TaskSettings:
    return next((t for t in TASKS if t.name == name), make_task())


def classified(ladder: Ladder) -> Classified:
    settings = Settings(tiers=TIERS, tasks=TASKS)
    return Classified(CascadeBackend(ladder.rungs, tasks=task_of), TaskClassifier(settings))


def two() -> Ladder:
    return Ladder().add("small", Reply("small")).add("top", Reply("top"))


def noted(call: Call) -> str:
    [decision] = [d for d in call.trace.decisions if d.stage == "task"]
    assert decision.reason
    return decision.decision


async def test_the_class_decides_where_a_request_starts() -> None:
    ladder, call = two(), make_call()
    answer = await classified(ladder).complete(make_request("I want a refund"), call)
    assert answer.first.content == "top"
    assert noted(call) == "refunds"
    assert ladder.tiers["top"].calls[0].task == "refunds"


async def test_streams_are_classified_too() -> None:
    ladder, call = two(), make_call()
    request = make_request("I want a refund", stream=True)
    await read(classified(ladder).stream(request, call))
    assert noted(call) == "refunds"
    assert call.trace.tier == "top"


async def test_a_tag_wins() -> None:
    ladder, call = two(), make_call(task="tagged")
    await classified(ladder).complete(make_request("I want a refund"), call)
    assert noted(call) == "tagged"
    assert call.trace.tier == "small"
