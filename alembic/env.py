"""Run migrations on the connection that `dropbox-api migrate` or a test passes in."""

from alembic import context

from dropbox_api.models import Base

config = context.config


def _partitions_are_not_models(_object: object, name: str | None, kind: str, *_rest: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith("events_p"))


context.configure(
    connection=config.attributes["connection"],
    target_metadata=Base.metadata,
    include_object=_partitions_are_not_models,
    compare_type=True,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
