"""Alembic's environment: runs the migrations on the connection that `migrate.py` passes in.

It opens no connection and no transaction of its own, since the caller holds the lock in one.
"""

from alembic import context

from serving.storage.migrate import VERSION_TABLE
from serving.storage.responses import responses
from serving.storage.webhooks import webhooks
from serving.storage.work import metadata

TABLES = (responses, webhooks)  # importing them is what makes them known


def run() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        compare_type=True,
        render_as_batch=True,
        transactional_ddl=False,  # the caller's transaction spans all of them
    )
    context.run_migrations()


# Alembic loads this file under this name; a plain import of the module does nothing.
if __name__ == "env_py":
    run()
