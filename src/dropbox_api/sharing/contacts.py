"""Contacts: the people with whom the caller shares, for completing addresses. Nothing searches other accounts."""

from sqlalchemy import text

from dropbox_api.context import Context
from dropbox_api.plumbing import page_cursors
from dropbox_api.sharing import schemas

# The address of a grant by id is the text of the id: the caller knows neither its address nor its name. Ids grow with
# time, so the newest grant has the greatest one.
_CONTACTS = text("""
    WITH share AS (
        SELECT CASE WHEN grants.email = CAST(grantee_id AS text) THEN grants.email
            ELSE coalesce(users.email, grants.email) END AS email, grantee_id AS user_id, grants.id, grants.created_at
        FROM grants LEFT JOIN users ON users.id = grantee_id WHERE owner_id = :user_id
        UNION ALL
        SELECT users.email, grants.owner_id, grants.id, grants.created_at
        FROM grants JOIN users ON users.id = grants.owner_id WHERE grantee_id = :user_id
    ), contact AS (
        SELECT email, (array_agg(user_id) FILTER (WHERE user_id IS NOT NULL))[1] AS user_id,
            (array_agg(id ORDER BY id DESC))[1] AS newest_id, max(created_at) AS shared_at
        FROM share GROUP BY email
    )
    SELECT nullif(contact.email, CAST(user_id AS text)) AS email, user_id, display_name, newest_id, shared_at
    FROM contact LEFT JOIN users ON users.id = user_id AND contact.email <> CAST(user_id AS text)
    WHERE CAST(:before AS uuid) IS NULL OR newest_id < :before
    ORDER BY newest_id DESC LIMIT :limit
""")


async def list_contacts(context: Context, *, limit: int, cursor: str | None) -> schemas.ContactList:
    """Return a page of the people to whom the caller has granted something, or who have granted the caller something.

    The newest share comes first. Raises InvalidCursor.
    """
    before = page_cursors.decode_id("contacts", cursor) if cursor else None
    async with context.db.read() as tx:
        bound = {"user_id": context.actor_id, "before": before, "limit": limit + 1}
        rows = (await tx.execute(_CONTACTS, bound)).all()
    items = [
        schemas.Contact(email=row.email, user_id=row.user_id, display_name=row.display_name, shared_at=row.shared_at)
        for row in rows[:limit]
    ]
    more = page_cursors.encode_cursor("contacts", rows[limit - 1].newest_id) if len(rows) > limit else None
    return schemas.ContactList(items=items, next_cursor=more)
