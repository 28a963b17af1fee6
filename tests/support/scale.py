"""A database of 2,000,000 nodes, to see the plans that Postgres chooses at that size."""

import asyncpg

USERS = 1000
NODES = 2_000_000

FILLED = frozenset({"nodes", "revisions", "blobs", "grants", "events", "audit_log", "uploads", "sessions"})
"""The tables that `fill_database` fills."""

# Ids are computed from numbers, so that each table is one INSERT. Each user has a root, 20 folders and files in them.
_FILL = f"""
CREATE FUNCTION pg_temp.id_of(kind text, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql
    RETURN CAST(md5(kind || n) AS uuid);
CREATE TEMP VIEW entry AS
    SELECT i, u, pg_temp.id_of('user', u) AS owner_id, i - u * (SELECT n FROM size) / {USERS} AS nth
    FROM size, generate_series(0, n - 1) i, LATERAL (SELECT i * {USERS} / n AS u) owner;
INSERT INTO users (id, email, quota_bytes, quota_nodes)
    SELECT pg_temp.id_of('user', u), 'scale' || u || '@example.org', 0, 0 FROM generate_series(0, {USERS - 1}) u;
INSERT INTO nodes (id, owner_id, parent_id, kind, name, name_key, name_sort, head_revision_id, size_bytes)
    SELECT pg_temp.id_of('node', i), owner_id,
        CASE WHEN nth > 20 THEN pg_temp.id_of('node', i - nth + 1 + i % 20)
             WHEN nth > 0 THEN pg_temp.id_of('node', i - nth) END,
        CASE WHEN nth > 20 THEN 'file' ELSE 'folder' END,
        n, n, n || chr(1) || n, CASE WHEN nth > 20 THEN pg_temp.id_of('revision', i) END, 1
    FROM entry, md5(CAST(i AS text)) n;
INSERT INTO blobs (id, owner_id, fingerprint, size_bytes, storage_key, etag, content_status, verified_at)
    SELECT pg_temp.id_of('blob', i), owner_id, sha256(CAST(CAST(i AS text) AS bytea)), 1, 'scale/' || i, '', 'verified',
        now()
    FROM entry WHERE i % 4 = 0;
INSERT INTO revisions (id, owner_id, node_id, number, blob_id, size_bytes, content_type, author_id)
    SELECT pg_temp.id_of('revision', i), owner_id, pg_temp.id_of('node', i), 1, pg_temp.id_of('blob', i / 4 * 4), 1,
        'text/plain', owner_id
    FROM entry WHERE nth > 20;
INSERT INTO grants (id, owner_id, node_id, email, grantee_id, role, created_by)
    SELECT gen_random_uuid(), owner_id, pg_temp.id_of('node', i), 'scale' || (u + 1) % {USERS} || '@example.org',
        pg_temp.id_of('user', (u + 1) % {USERS}), 'viewer', owner_id
    FROM entry WHERE i % 10 = 1;
INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload)
    SELECT owner_id, nth * 5 + n, gen_random_uuid(), 'file.created', owner_id, pg_temp.id_of('node', i), '{{}}'
    FROM entry, generate_series(1, 2 + CAST(i % 2 AS int)) n;
INSERT INTO audit_log (id, owner_id, node_id, action, detail)
    SELECT gen_random_uuid(), owner_id, pg_temp.id_of('node', i), 'downloaded', '{{}}' FROM entry WHERE i % 4 = 0;
INSERT INTO uploads (id, uploader_id, owner_id, fingerprint, size_bytes, strategy, chunk_size_bytes, chunk_count, state,
    storage_key, expires_at, ended_at, next_check_at, blob_id)
    SELECT gen_random_uuid(), owner_id, owner_id, sha256(CAST(CAST(i AS text) AS bytea)), 1, 'single', 1, 1,
        'completed', 'scale/' || i, now(), now(), now(), pg_temp.id_of('blob', i)
    FROM entry WHERE i % 8 = 0;
INSERT INTO sessions (id, user_id, refresh_hash, expires_at)
    SELECT gen_random_uuid(), owner_id, sha256(CAST(CAST(i AS text) AS bytea)), now() + interval '90 days'
    FROM entry WHERE i % 16 = 0;
"""


async def fill_database(url: str, nodes: int = NODES) -> None:
    """Add `nodes` nodes, a tenth as many grants and 2.5 times as many events, and analyse the tables.

    The role must be a superuser: foreign keys are not checked. Takes minutes, and 2 KiB of disk for each node.
    """
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'")
        await connection.execute(f"CREATE TEMP TABLE size AS SELECT CAST({nodes} AS bigint) AS n")
        # One build at the end takes a fraction of the time.
        search_index = await connection.fetchval("SELECT pg_get_indexdef(CAST('nodes_search_trgm_idx' AS regclass))")
        await connection.execute("DROP INDEX nodes_search_trgm_idx")
        await connection.execute(_FILL, timeout=3600)
        await connection.execute(search_index, timeout=3600)
        await connection.execute("VACUUM ANALYZE", timeout=3600)
    finally:
        await connection.close()
