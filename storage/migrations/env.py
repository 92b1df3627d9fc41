"""Alembic's environment: it runs on the connection that `storage.migrate` opened and locked."""

from alembic import context
from sqlalchemy import Connection

from storage.models.registry import metadata


def run() -> None:
    """Run the wanted migrations in one transaction."""
    connection = context.config.attributes["connection"]
    if not isinstance(connection, Connection):
        raise TypeError("migrations run through python -m storage.migrate")
    context.configure(
        connection=connection, target_metadata=metadata(), compare_type=True, compare_server_default=False
    )
    with context.begin_transaction():
        context.run_migrations()


run()
