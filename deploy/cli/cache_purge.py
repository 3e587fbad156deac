"""`stepwell cache purge`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import output, say
from deploy.cli.given import Config, database_of, moment, settings_of

if TYPE_CHECKING:
    from cache.semantic.purge import Purge
    from serving.settings.root import Settings

Tenant = Annotated[str | None, typer.Option(help="Only entries of this tenant.")]
Everything = Annotated[bool, typer.Option("--all-tenants", help="Entries of every tenant.")]
Task = Annotated[str | None, typer.Option(help="Only this task class.")]
Tag = Annotated[str | None, typer.Option(help="Only what carries this cache tag.")]
Document = Annotated[
    str | None, typer.Option(help="Only what rests on this version of a document.")
]
DocumentBut = Annotated[
    str | None, typer.Option(help="Only what rests on any version but this one.")
]
Query = Annotated[str | None, typer.Option(help="Only questions that contain this text.")]
OlderThan = Annotated[
    str | None, typer.Option(help="Only what was made before: 7d, 24h, or a date or time, UTC.")
]


def purge(
    config: Config = None,
    *,
    tenant: Tenant = None,
    all_tenants: Everything = False,
    task: Task = None,
    tag: Tag = None,
    document: Document = None,
    document_but: DocumentBut = None,
    query: Query = None,
    older_than: OlderThan = None,
) -> None:
    """Forget cached answers; all that is given must hold.

    A running server forgets them within cache.semantic.poll_s, and its exact cache is emptied.
    """
    import asyncio  # noqa: PLC0415

    from cache.semantic.purge import Purge  # noqa: PLC0415
    from serving.errors import InvalidRequest  # noqa: PLC0415

    before = moment(older_than, datetime.now(UTC), "--older-than")
    try:
        what = Purge(
            tenant=tenant,
            task=task,
            tag=tag,
            document=document,
            document_but=document_but,
            text=query,
            older_than=None if before is None else before.timestamp(),
            everything=all_tenants,
        )
    except InvalidRequest as error:
        message = f"{error.message}; give --tenant or --all-tenants"
        raise typer.BadParameter(message, param_hint="--tenant") from None
    gone = asyncio.run(_purge(settings_of(config), what))
    say(output(), f"{gone:,} {'entry' if gone == 1 else 'entries'} forgotten.")


async def _purge(settings: "Settings", what: "Purge") -> int:
    """From the database here; whoever holds the entries in memory is told, and does so too."""
    from dataclasses import asdict  # noqa: PLC0415

    from cache.semantic.store import delete_meant  # noqa: PLC0415
    from serving.storage.semantic import SemanticOrders  # noqa: PLC0415

    async with database_of(settings) as database:
        async with database.begin() as connection:
            gone = len(await delete_meant(connection, what))
        await SemanticOrders(database).purge(asdict(what))
        return gone
