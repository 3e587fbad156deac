"""What a request asks, and whose answers may serve it; or why it is not for the semantic cache.

The question is the text of the last message. Everything before it belongs to the scope, word by
word: an answer in the middle of a conversation serves only where all earlier turns are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cache.scope import Scoped, scoped
from serving.backend import Call
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import TaskSettings
from serving.wire.chat import ChatRequest, NamedToolChoice

MAX_TAGS = 16
MAX_TAG_CHARS = 128


@dataclass(frozen=True, slots=True)
class Question:
    """`scope`: see `cache/scope.py`. `tags` and `document` are what its answer can be invalidated
    by; the version of the document belongs to the scope as well.
    """

    scope: str
    tenant: str
    task: str
    text: str
    tags: tuple[str, ...] = ()
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be cached. `key`: of the whole request, the same for identical ones alone
    that are as urgent, since nobody who is waited for shall wait for what can wait. `question` is
    None where only those may share an answer, and `off` says why.
    """

    key: str
    question: Question | None
    off: str | None = None


def asked_by(
    request: ChatRequest,
    call: Call,
    task: TaskSettings,
    settings: SemanticSettings,
    policy: str = "",
) -> Asked | str:
    """A reason where the request must not be cached at all."""
    never = _never(request, call, task)
    if never is not None:
        return never
    found = scoped(request, call, policy)
    if found is None:
        return "the request has no exact form"
    key = found.key if call.urgency == "interactive" else f"{call.urgency} {found.key}"
    off = _why_not(request, task) or _why_no_question(found, settings)
    if off is not None or found.scope is None or found.text is None:
        return Asked(key, None, off)
    metadata = request.metadata or {}
    question = Question(
        scope=found.scope,
        tenant=call.tenant,
        task=task.name,
        text=found.text,
        tags=_tags(request, metadata),
        document=request.options.document_version,
    )
    return Asked(key, question)


def ttl_s(task: TaskSettings, tags: Sequence[str], settings: SemanticSettings) -> float:
    """How long an answer is kept: as the task says, or less where a tag says so."""
    own = settings.tag_ttl_s
    return min([task.cache.ttl_s, *(own[tag] for tag in tags if tag in own)])


def _never(request: ChatRequest, call: Call, task: TaskSettings) -> str | None:
    if not task.cache.enabled or task.critical:
        return f"task {task.name!r} is not cached"
    if request.options.cache is False:
        return "off for this request"
    return None if call.kind == "attempt" else "a check must ask anew"


def _why_not(request: ChatRequest, task: TaskSettings) -> str | None:
    """What in the request keeps it to exact repeats, None where nothing does."""
    if not task.cache.semantic.enabled:
        return f"task {task.name!r} takes exact repeats only"
    if request.choices_asked > 1:
        return "several answers are asked for"
    if request.logprobs:
        return "logprobs are asked for"
    if not task.cache.semantic.tool_calls and _calls_tools(request):
        return "a turn with tool calls"
    return None


def _calls_tools(request: ChatRequest) -> bool:
    """Whether tools have been called, or the answer must call one."""
    if request.tool_choice == "required" or isinstance(request.tool_choice, NamedToolChoice):
        return True
    return any(m.tool_calls or m.role in {"tool", "function"} for m in request.messages)


def _why_no_question(found: Scoped, settings: SemanticSettings) -> str | None:
    if found.text is None:
        return "the last message is no text of the user's"
    if not found.text.strip():
        return "the question is empty"
    if len(found.text) > settings.max_chars:
        return f"the question is longer than {settings.max_chars} characters"
    return None


def _tags(request: ChatRequest, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Of the `stepwell` object, and of OpenAI's metadata under `cache_tags`, between commas."""
    more = (tag.strip() for tag in metadata.get("cache_tags", "").split(","))
    tags = (*request.options.cache_tags, *(t for t in more if t.isprintable()))
    return tuple(dict.fromkeys(t[:MAX_TAG_CHARS] for t in tags if t))[:MAX_TAGS]
