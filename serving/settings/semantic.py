"""The semantic cache: what is set for all tasks, and what each task may say of its own."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from serving.settings.base import Frozen, Name, Seconds, Share, Usd

Odds = Annotated[float, Field(gt=0.0, le=0.5)]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]

MAX_QUESTION_CHARS = 4_000
"""What the decision reads of a question: of a longer one it could not tell the differences."""


class TaskSemantic(Frozen):
    """Where the semantic cache is on, a task that is cached at all takes part unless it says not.

    `delta` is the share of its semantic hits that may be wrong, `confidence` how sure that must be.
    `audit` is the share of those hits that is answered anew and compared: `compare: exact` takes
    texts without case and spacing, and JSON by its values, `structured` JSON and tool calls alone,
    `similarity` the words, `embedding` the meaning; the latter two from `min_similarity` on.
    `tool_calls` lets turns with tool calls in, which may act on the world.
    """

    enabled: bool = True
    delta: Odds = 0.02
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    audit: Share = 0.05
    compare: Literal["exact", "structured", "similarity", "embedding"] = "embedding"
    min_similarity: Share = 0.8
    tool_calls: bool = False


class AuditBudget(Frozen):
    """Caps on all audits together."""

    max_usd_per_day: Usd = Decimal(1)
    max_concurrent: int = Field(default=2, ge=1, le=64)
    max_queued: int = Field(default=256, ge=1)


class SemanticRay(Frozen):
    """Of the deployment that all gateways share under `runtime: ray`. A share of a GPU lets the
    embedder and the index run there.
    """

    num_cpus: float = Field(default=0.0, ge=0.0)
    num_gpus: float = Field(default=0.0, ge=0.0)


class SemanticSettings(Frozen):
    """`embedder` is one of `embedders` by name, else a sentence-transformers model by its name or
    folder. A lookup that takes longer than `deadline_ms` counts as a miss. At most `max_bytes` of
    memory are taken, vectors and index included; `index: auto` searches small scopes exactly and
    gives large ones an index of their own. `tag_ttl_s` shortens the life of entries that carry a
    tag. What else changes in the database, by `stepwell cache`, is seen within `poll_s`. `verifier`
    names a tier that is asked whether two questions are the same where the decision is not sure.
    """

    enabled: bool = False
    embedder: str = "all-MiniLM-L6-v2"
    threads: int = Field(default=1, ge=1, le=64)
    deadline_ms: float = Field(default=100.0, gt=0.0, le=10_000.0)
    max_chars: int = Field(default=2_000, ge=1, le=MAX_QUESTION_CHARS)
    max_bytes: int = Field(default=512_000_000, ge=1)
    max_entry_bytes: int = Field(default=64_000, ge=1)
    index: Literal["auto", "flat", "hnsw", "gpu-flat", "gpu-ivf", "gpu-cagra", "pgvector"] = "auto"
    tag_ttl_s: dict[Tag, Seconds] = Field(default_factory=dict)
    poll_s: Seconds = 1.0
    audits: AuditBudget = AuditBudget()
    verifier: Name | None = None
    ray: SemanticRay = SemanticRay()
