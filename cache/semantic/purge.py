"""Which entries to forget."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from serving.errors import InvalidRequest


class Marks(Protocol):
    """What a question, an entry or its row is judged by."""

    @property
    def tenant(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def tags(self) -> Collection[str]: ...
    @property
    def document(self) -> str | None: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Purge:
    """All that is given must hold. `tenant` is required, unless `everything` says that entries of
    all tenants are meant. `document`: answers that rest on this version; `document_but`: that rest
    on any version but this (those that rest on none stay). `text`: questions that contain it,
    whatever the case. `older_than`: made before this Unix time.
    """

    tenant: str | None = None
    task: str | None = None
    tag: str | None = None
    document: str | None = None
    document_but: str | None = None
    text: str | None = None
    older_than: float | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if self.tenant is None and not self.everything:
            raise InvalidRequest(
                "a purge names its tenant, or says that it means every tenant", param="tenant"
            )
        if self.tenant is not None and self.everything:
            raise InvalidRequest(
                "a purge means one tenant or every tenant, not both", param="tenant"
            )
        if self.text is not None and not self.text.strip():
            raise InvalidRequest("a purge by text needs a text", param="text")

    def means(self, entry: Marks, made_at: float) -> bool:
        """Whether the entry is to be forgotten. `made_at`: when it was made, or what is on its way
        in was asked for, in Unix seconds.
        """
        return (
            _same(self.tenant, entry.tenant)
            and _same(self.task, entry.task)
            and (self.tag is None or self.tag in entry.tags)
            and _same(self.document, entry.document)
            and self._outdated(entry.document)
            and (self.text is None or self.text.casefold() in entry.text.casefold())
            and (self.older_than is None or made_at < self.older_than)
        )

    def _outdated(self, document: str | None) -> bool:
        if self.document_but is None:
            return True
        return document is not None and document != self.document_but


def _same(wanted: str | None, actual: str | None) -> bool:
    return wanted is None or wanted == actual
