"""What the mock knows: which request it is, how hard, and whether this tier gets it right.

A tier answers correctly with probability `logistic(discrimination * (ability - difficulty))`, the
two-parameter logistic model of item response theory (Birnbaum, in Lord and Novick, "Statistical
Theories of Mental Test Scores", 1968). It is right where one uniform number of the request lies
below that probability. Tiers with the same `seed` share that number, so a tier is right wherever
one with a lower probability is: with equal discrimination, wherever a less able one is.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

from serving.engines.mock.difficulty import difficulty
from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.known import as_known
from serving.engines.mock.reading import SYSTEM_ROLES, Reading, read
from serving.settings.tiers import MockEngine
from serving.wire.chat import ChatRequest


@dataclass(frozen=True, slots=True)
class Question:
    """A request as every tier sees it. `key` stands for the conversation: the texts of all
    messages but the system's, with white space made even. Instructions and parameters are left
    out, since a tier may get them changed; two requests that differ only there are the same
    question in another form. So are those that `known` has as one.
    """

    key: bytes
    reading: Reading
    difficulty: float


def ask(request: ChatRequest) -> Question:
    request = as_known(request)
    turns = " ".join(m.text for m in request.messages if m.role not in SYSTEM_ROLES)
    text = " ".join(turns.split())
    key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    reading = read(request)
    return Question(key, reading, difficulty(reading, key))


def probability(engine: MockEngine, task: str | None, hardness: float) -> float:
    """Of a correct answer to a request of that difficulty, in [0, 1]."""
    ability = engine.ability if task is None else engine.task_ability.get(task, engine.ability)
    logit = engine.discrimination * (ability - hardness)
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def sample_key(question: Question, seed: int, request_seed: int | None, choice: int) -> bytes:
    """One sampled answer to a question: `seed` is the engine's, `request_seed` the client's."""
    return derive(question.key, "sample", seed, request_seed or 0, choice)


def is_right(engine: MockEngine, task: str | None, question: Question, sample: bytes) -> bool:
    luck = Draws(derive(sample, "luck")).uniform()
    return luck < probability(engine, task, question.difficulty)
