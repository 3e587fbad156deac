"""What a mock tier will answer to a request, decided before the first token: a pure function of
the request, the tier, the engine's settings and the task.
"""

from dataclasses import dataclass, replace

from serving.engines.mock import faults, logprobs, prose, structured, tools
from serving.engines.mock.brain import Question, ask, is_right, sample_key
from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.faults import Fault
from serving.engines.mock.tokenizer import prompt_tokens, tokens
from serving.settings.tiers import MockEngine
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, FinishReason, TokenLogprob, ToolCallPart, Usage


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer: `content`, or a piece of a tool call."""

    token: str
    call: ToolCallPart | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """One choice: the answer and its pieces in order, as many as its tokens."""

    answer: Choice
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """`first_s` and `per_token_s` are in simulated seconds, before `time_scale`."""

    choices: tuple[Planned, ...]
    usage: Usage
    first_s: float
    per_token_s: float
    fault: Fault | None

    @property
    def seconds(self) -> float:
        return self.first_s + self.per_token_s * max(len(c.pieces) for c in self.choices)


@dataclass(frozen=True, slots=True)
class _Asked:
    request: ChatRequest
    question: Question
    engine: MockEngine
    tier: str
    task: str | None
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class _Draft:
    """An answer before it is cut to its limits; `sure`: its logprobs are those of a right one."""

    text: str | None
    calls: tuple[ToolCallPart, ...] = ()
    sure: bool = True
    refusal: str | None = None


def plan(request: ChatRequest, tier: str, engine: MockEngine, task: str | None) -> Plan:
    """`InvalidRequest` where the request demands an unknown fault."""
    question = ask(request)
    own = derive(sample_key(question, engine.seed, request.seed, 0), "tier", tier)
    fault = faults.asked(request, tier)
    if fault is None:
        fault = faults.drawn(engine.faults, Draws(derive(own, "fault")))
    asked = _Asked(request, question, engine, tier, task, fault)
    choices = tuple(_choice(asked, i) for i in range(request.choices_asked))
    pace = Draws(derive(own, "latency"))
    slow = faults.SLOW_FACTOR if fault == "slow" else 1.0
    first = slow * (1 + engine.jitter * (2 * pace.uniform() - 1))
    rest = slow * (1 + engine.jitter * (2 * pace.uniform() - 1))
    return Plan(
        choices=choices,
        usage=Usage(prompt_tokens(request), sum(len(c.pieces) for c in choices)),
        first_s=first * engine.ttft_ms / 1_000,
        per_token_s=rest / engine.tokens_per_s,
        fault=fault,
    )


def _choice(asked: _Asked, index: int) -> Planned:
    request, engine = asked.request, asked.engine
    sample = sample_key(asked.question, engine.seed, request.seed, index)
    right = is_right(engine, asked.task, asked.question, sample)
    own = derive(sample, "tier", asked.tier)
    draft = _spoiled(_draft(request, asked.question, right, own), asked.fault, own)
    pieces, finish = _cut(draft, request, truncate=asked.fault == "truncate")
    found: tuple[TokenLogprob, ...] | None = None
    if engine.logprobs and pieces:
        draws = Draws(derive(own, "logprobs"))
        written = [p.token for p in pieces]
        top = request.top_logprobs or 0
        found = logprobs.of_tokens(written, draws, right=draft.sure, signal=engine.signal, top=top)
    text = None if draft.text is None else "".join(p.token for p in pieces if p.call is None)
    answer = Choice(
        index=index,
        content=text,
        tool_calls=_joined(pieces) if draft.calls else (),
        finish_reason=finish,
        refusal=draft.refusal,
        logprobs=found,
    )
    return Planned(answer, pieces)


def _draft(request: ChatRequest, question: Question, right: bool, own: bytes) -> _Draft:
    """The true answer, or a wrong one."""
    reading, key = question.reading, question.key
    functions = tools.chosen(request, reading)
    if functions:
        calls = tools.true_calls(functions, key, reading)
        if not right:
            calls = tools.wrong_calls(functions, calls, reading, own)
        return _Draft(None, calls, right)
    schema = structured.wanted(request, reading)
    if schema is not None:
        text = structured.true_json(schema, key, reading.keywords)
        if not right:
            text = structured.wrong_json(schema, text, reading.keywords, own)
        return _Draft(text, sure=right)
    text = prose.true_text(reading, Draws(derive(key, "true text")))
    if not right:
        text = prose.wrong_text(reading, text, Draws(derive(own, "wrong text")))
    return _Draft(text, sure=right)


def _spoiled(draft: _Draft, fault: Fault | None, own: bytes) -> _Draft:
    """Garbage is written without confidence; refusals and loops with it, as models do."""
    if fault == "garbage":
        noise = faults.gibberish(Draws(derive(own, "garbage")))
        calls = tuple(replace(c, arguments=noise) for c in draft.calls)
        return _Draft(None if calls else noise, calls, sure=False)
    if fault == "refuse":
        return _Draft(faults.REFUSAL, refusal=faults.REFUSAL)
    if fault == "repeat":
        return _Draft(faults.repeated(draft.text or draft.calls[0].arguments))
    return draft


def _cut(
    draft: _Draft, request: ChatRequest, *, truncate: bool
) -> tuple[tuple[Piece, ...], FinishReason]:
    """The pieces up to the first stop sequence, the token limit, or half of them to truncate."""
    pieces = _call_pieces(draft.calls)
    if draft.text is not None:
        pieces = [Piece(t) for t in tokens(_until_stop(draft.text, request.stop_sequences))]
    finish: FinishReason = "tool_calls" if draft.calls else "stop"
    limit = request.output_limit or len(pieces)
    if truncate:
        limit = min(limit, max(1, len(pieces) // 2))
    if limit < len(pieces) or (truncate and pieces):
        return tuple(pieces[:limit]), "length"
    return tuple(pieces), finish


def _until_stop(text: str, stops: tuple[str, ...]) -> str:
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def _call_pieces(calls: tuple[ToolCallPart, ...]) -> list[Piece]:
    pieces = []
    for call in calls:
        pieces.append(Piece(call.name or "", replace(call, arguments="")))
        pieces += [Piece(t, ToolCallPart(call.index, arguments=t)) for t in tokens(call.arguments)]
    return pieces


def _joined(pieces: tuple[Piece, ...]) -> tuple[ToolCallPart, ...]:
    """The calls that the pieces amount to."""
    calls: list[ToolCallPart] = []
    for piece in pieces:
        if piece.call is None:
            continue
        if piece.call.id is not None:
            calls.append(piece.call)
        else:
            last = calls[-1]
            calls[-1] = replace(last, arguments=last.arguments + piece.call.arguments)
    return tuple(calls)
