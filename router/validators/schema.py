"""JSON Schemas, compiled within bounds and asked within bounds.

Formats are annotations, as the standard has them, and are not asserted. Patterns run on a
linear-time engine. Nothing is ever fetched.
"""

import threading
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson
from cachetools import LRUCache

from router.validators.schema_bounds import SchemaCost, measure, plain
from serving.errors import InvalidRequest

MAX_PATTERN_MEMORY = 2_000_000
MAX_APPLIED = 20_000_000
"""Parts of a schema applied to one answer, some 0.5 s at worst."""
MAX_PATTERN_STEPS = 100_000_000
MAX_EXPLAINED = 10_000_000
"""Above this product of visits, values and bytes no reason is worked out, since every branch of an
`anyOf` that fails copies what it looked at."""
MAX_INSTANCE_DEPTH = 100

CACHED_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """Safe to share between requests and threads."""

    validator: Any
    cost: SchemaCost

    def failure(self, value: Any, raw: bytes) -> str | None:
        """Why `value`, parsed from `raw`, does not satisfy the schema; None where it does."""
        values = 1 + sum(raw.count(mark) for mark in (b",", b":", b"[", b"{"))
        visits = self.cost.visits * values
        if visits > MAX_APPLIED or self.cost.pattern_steps * len(raw) > MAX_PATTERN_STEPS:
            return f"too large ({len(raw)} bytes) to be checked against this schema"
        if _deeper_than(MAX_INSTANCE_DEPTH, value):
            return f"nested deeper than {MAX_INSTANCE_DEPTH}"
        if self.validator.is_valid(value):
            return None
        if self.cost.recursive or visits * len(raw) > MAX_EXPLAINED:
            return "does not satisfy the schema"
        return _reason(self.validator, value)


class _Cache:
    """Compiled schemas by their canonical JSON; bounded by the memory they are taken to need."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._kept: LRUCache[bytes, tuple[CompiledSchema, int]] = LRUCache(
            max_bytes, getsizeof=lambda kept: kept[1]
        )

    def get(self, key: bytes) -> CompiledSchema | None:
        with self._lock:
            kept = self._kept.get(key)
        return kept[0] if kept else None

    def put(self, key: bytes, schema: CompiledSchema) -> None:
        # Parsed and compiled, a schema takes some ten times its text; a pattern, by its program.
        size = 4_096 + 10 * len(key) + 200 * schema.cost.pattern_steps
        if size <= self._kept.maxsize:
            with self._lock:
                self._kept[key] = (schema, size)


_cache = _Cache(CACHED_BYTES)


def compile_schema(schema: Any, where: str) -> CompiledSchema:
    """`InvalidRequest` naming `where` and the part at fault, on a schema that is none, has no
    bound, or reaches outside itself.
    """
    if (key := _key(schema)) is not None and (known := _cache.get(key)) is not None:
        return known
    copy = plain(schema, where)
    cost = measure(copy, where)
    compiled = CompiledSchema(_validator(copy, where), cost)
    if key is not None:
        _cache.put(key, compiled)
    return compiled


def _key(schema: Any) -> bytes | None:
    """None where it cannot be written, which `plain` will find out and say."""
    try:
        return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return None


def _validator(schema: dict[str, Any], where: str) -> Any:
    limits = jsonschema_rs.RegexOptions(
        size_limit=MAX_PATTERN_MEMORY, dfa_size_limit=MAX_PATTERN_MEMORY
    )
    try:
        return jsonschema_rs.validator_for(
            schema, validate_formats=False, offline=True, pattern_options=limits
        )
    except jsonschema_rs.ValidationError as error:
        at = "/".join(str(step) for step in error.instance_path)
        raise InvalidRequest(
            f"{where}: not a JSON Schema at #/{at[:200]}: {error.message[:200]}", param=where
        ) from error
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise InvalidRequest(
            f"{where}: not a JSON Schema: {str(error)[:200]}", param=where
        ) from error


def _reason(validator: Any, value: Any) -> str:
    """The first keyword that fails, by its place in the schema; nothing of the answer is named."""
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(str(step) for step in error.schema_path)[:200]
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
            return f"{error.kind.property!r}, which #/{place} requires, is missing"
        return f"fails {error.kind.name} at #/{place}"
    return "does not satisfy the schema"


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
