"""Whose lines are next."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Tenants(Protocol):
    @property
    def tenant(self) -> str: ...


T = TypeVar("T", bound=Tenants)


def in_turn(running: Sequence[T], turn: int) -> list[T]:
    """The batches, tenants alternating and each tenant's oldest first; who comes first moves on
    with `turn`. So neither a large batch nor a tenant with many holds up the others.
    """
    by_tenant: dict[str, list[T]] = defaultdict(list)
    for batch in running:
        by_tenant[batch.tenant].append(batch)
    queues = list(by_tenant.values())
    if not queues:
        return []
    start = turn % len(queues)
    queues = queues[start:] + queues[:start]
    rounds = max(len(queue) for queue in queues)
    return [queue[i] for i in range(rounds) for queue in queues if i < len(queue)]
