"""How the shelf of entries is set up."""

from dataclasses import dataclass
from typing import Literal

from serving.errors import ConfigError

IndexKind = Literal["auto", "flat", "hnsw", "gpu-flat", "gpu-ivf", "gpu-cagra", "pgvector"]
"""`auto`: exact for small scopes, HNSW from `promote_at` entries on. The GPU's kinds take that
place where there is a GPU. `pgvector` searches in PostgreSQL.
"""


@dataclass(frozen=True, slots=True)
class ShelfSettings:
    """`max_bytes`: of memory, vectors and index included. `max_entry_bytes`: of one entry's
    question and answer together. `half_life_s`: after which time without a hit an entry is worth
    half as much. `flush_interval_s`: how long counts of hits may wait to be written;
    `sweep_interval_s`: how often expired entries are deleted. `promote_at`: entries of a scope from
    which on it gets an index of its own. `max_waiting`: entries that may wait to be written.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_entry_bytes: int = 256 * 1024
    half_life_s: float = 86_400.0
    flush_interval_s: float = 2.0
    sweep_interval_s: float = 60.0
    index: IndexKind = "auto"
    promote_at: int = 1_024
    max_waiting: int = 10_000

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_entry_bytes", "half_life_s", "flush_interval_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"cache.semantic.{name}: must be greater than 0")
        for name in ("sweep_interval_s", "promote_at", "max_waiting"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"cache.semantic.{name}: must be greater than 0")
