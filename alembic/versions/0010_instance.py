"""Instance: the identity of the installation and its data epoch.

`current_data_epoch` is a function of the database, because every statement that shows or compares an ETag calls it, and
because only PL/pgSQL can go on when a managed Postgres refuses a control function.

Revision ID: 0010
Revises: 0009
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    instance = op.create_table(
        "instance",
        sa.Column("is_only", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("instance_id", sa.UUID(), nullable=False),
        sa.Column("first_epoch", sa.Text(), nullable=False),
        sa.Column("data_epoch", sa.Text(), nullable=False),
        sa.Column("epoch_started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("system_identifier", sa.Text(), nullable=True),
        sa.Column("timeline", sa.Text(), nullable=True),
        sa.CheckConstraint("is_only", name=op.f("instance_is_only_check")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("instance_pkey")),
    )
    # Cursors of journals from before this migration name no epoch: they belong to the first one.
    first_epoch = uuid.uuid4().hex[:12]
    op.bulk_insert(instance, [{"instance_id": uuid.uuid4(), "first_epoch": first_epoch, "data_epoch": first_epoch}])
    # The exceptions are the ways in which managed Postgres servers and standbys refuse these functions. The name of the
    # WAL segment shows a new timeline at once, the control file only after a checkpoint.
    op.execute("""
        CREATE FUNCTION database_identity(OUT system_identifier text, OUT timeline text) LANGUAGE plpgsql STABLE AS $$
        BEGIN
            BEGIN
                system_identifier := (SELECT control.system_identifier FROM pg_control_system() control);
            EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported
                OR object_not_in_prerequisite_state THEN NULL;
            END;
            BEGIN
                timeline := left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
            EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported
                OR object_not_in_prerequisite_state THEN NULL;
            END;
        END $$
    """)
    op.execute("""
        CREATE FUNCTION current_data_epoch() RETURNS text LANGUAGE plpgsql STABLE AS $$
        BEGIN
            RETURN (
                SELECT CASE
                    -- Null, an identity that is not known, differs from none.
                    WHEN seen.system_identifier <> known.system_identifier OR seen.timeline <> known.timeline
                    THEN left(md5(concat_ws(' ', known.data_epoch, seen.system_identifier, seen.timeline,
                        extract(epoch FROM pg_postmaster_start_time()))), 12)
                    ELSE known.data_epoch
                END
                FROM instance known, database_identity() seen
            );
        END $$
    """)
    op.get_bind().execute(
        sa.text("""
            UPDATE instance SET system_identifier = seen.system_identifier, timeline = seen.timeline
            FROM database_identity() seen
        """)
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION current_data_epoch()")
    op.execute("DROP FUNCTION database_identity()")
    op.drop_table("instance")
