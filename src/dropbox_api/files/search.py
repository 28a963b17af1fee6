"""Search by name: every word of the query is part of the name, or similar to a part of it (a typo).

Accents do not matter, but names that match with them come first. Order of each: whole name (with or without its
extension), start of the name, start of a word, any part of the name. Last come names that are only similar. Equal
ranks: last changed first. The query has no syntax.
Parts match in any script. Similarity (pg_trgm, https://www.postgresql.org/docs/current/pgtrgm.html) knows the letters
of the database's locale. One trigram index answers both for words of at least three letters.
"""

import re
import uuid
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.sql.elements import SQLCoreOperations

from dropbox_api import access
from dropbox_api.context import Context
from dropbox_api.core import names
from dropbox_api.db import Tx, use_snapshot
from dropbox_api.files import folders, thumbnails, views
from dropbox_api.files.schemas import FileList, SearchFiles
from dropbox_api.models import Node, Revision
from dropbox_api.plumbing import page_cursors

MAX_WORDS = 8
"""Words of a query; the last one is the rest of the query."""
SIMILARITY = 0.37
"""Share of a word's trigrams that a name must have: `invioce` and `invoice.pdf` share 3 of 8."""

_WHOLE, _BEGINS, _WORD_BEGINS, _PART, _SIMILAR = 104, 103, 102, 101, 100
"""Scores. A score up to 100 is the similarity, in percent, of the least similar word."""
_WITH_ACCENTS = 4
"""Added to the score of a name that matches with its accents."""

_SEARCH_KEY = func.coalesce(Node.folded_key, Node.name_key)
"""The expression of the trigram index."""

# The operator of the index compares with a setting. The plan depends on the query: one letter is in almost every name,
# ten letters are in few.
_PREPARE = text("""
    SELECT set_config('pg_trgm.word_similarity_threshold', :similarity, true),
        set_config('plan_cache_mode', 'force_custom_plan', true)
""").bindparams(similarity=str(SIMILARITY))


class _Match(NamedTuple):
    """A node that matches a search."""

    id: uuid.UUID
    parent_id: uuid.UUID
    modified_at: datetime
    score: int

    @property
    def rank(self) -> "_Rank":
        return self.score, self.modified_at, self.id


_Rank = tuple[int, datetime, uuid.UUID]
"""Score, time of the last change and id: matches come in descending order of their ranks."""


async def search_files(context: Context, wanted: SearchFiles) -> FileList:
    """Return a page of the files and folders that match, best first; without `q`, last changed first.

    Searches the caller's own nodes and those shared with the caller, or one folder; no trash and no root folder.
    Raises NotFound, NotAFolder, InvalidName, InvalidCursor.
    """
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        await tx.execute(_PREPARE)
        folder = await folders.find_folder(tx, context.actor_id, wanted.parent_id, wanted.path)
        if folder:
            scope = and_(Node.owner_id == folder.owner_id, await views.build_below_condition(tx, folder.node_id))
        else:
            scope = await access.build_visible_condition(tx, context.actor_id)
        passing = _select_candidates(scope, wanted)
        before = page_cursors.decode_key("search", wanted.cursor, int, datetime, uuid.UUID) if wanted.cursor else None
        rows = await _read_page(tx, passing, wanted.q, before, wanted.limit + 1)
        files = await views.find_files(tx, context.actor_id, [row.id for row in rows[: wanted.limit]])
    items = [files[row.id] for row in rows[: wanted.limit]]
    last = rows[wanted.limit - 1] if len(rows) > wanted.limit else None
    more = page_cursors.encode_cursor("search", *last.rank) if last else None
    page = FileList(items=items, next_cursor=more)
    return await thumbnails.add_to_list(context, page) if wanted.thumbnails else page


def _select_candidates(scope: ColumnElement[bool], wanted: SearchFiles) -> Select[*tuple[Any, ...]]:
    """Select the nodes of a scope that pass all filters except `q`. Only files have a size or a type."""
    found = select(Node.id, Node.parent_id, Node.modified_at).where(
        scope, Node.trashed_at.is_(None), Node.parent_id.is_not(None)
    )
    if wanted.kind:
        found = found.where(Node.kind == wanted.kind)
    if wanted.min_bytes is not None:
        found = found.where(Node.kind == "file", Node.size_bytes >= wanted.min_bytes)
    if wanted.max_bytes is not None:
        found = found.where(Node.kind == "file", Node.size_bytes <= wanted.max_bytes)
    if wanted.modified_after:
        found = found.where(Node.modified_at >= wanted.modified_after)
    if wanted.modified_before:
        found = found.where(Node.modified_at < wanted.modified_before)
    if wanted.content_type:
        stored = func.lower(Revision.content_type)
        parameters = "" if wanted.content_type.endswith("/") else ";"
        begins = stored.like(f"{_escape_like(wanted.content_type + parameters)}%")
        found = found.join(Revision, Revision.id == Node.head_revision_id)
        found = found.where(or_(stored == wanted.content_type, begins))
    return found


async def _read_page(
    tx: Tx, passing: Select[*tuple[Any, ...]], q: str | None, before: _Rank | None, limit: int
) -> list[_Match]:
    """Return the first `limit` matches after a rank, best first.

    Similar names rank after all others, so the second query runs only when the first returns too few rows.
    """
    if q is None:
        return await _read_ranked(tx, passing, literal(0, BigInteger), before, limit)
    words = q.split(maxsplit=MAX_WORDS - 1)
    has_all = and_(*map(_is_part, words))
    rows: list[_Match] = []
    if before is None or before[0] > _SIMILAR:
        rows = await _read_ranked(tx, passing.where(has_all), _build_score(q, words), before, limit)
    if len(rows) < limit and any(map(_is_typo_candidate, words)):
        similar = passing.where(*map(_is_part_or_similar, words), not_(has_all))
        rows += await _read_ranked(tx, similar, _build_score(q, words), None if rows else before, limit - len(rows))
    return rows


async def _read_ranked(
    tx: Tx,
    matching: Select[*tuple[Any, ...]],
    score: ColumnElement[int],
    before: _Rank | None,
    limit: int,
) -> list[_Match]:
    rank = (score, Node.modified_at, Node.id)
    if before:
        score_before, *rest = before
        matching = matching.where(tuple_(*rank) < tuple_(literal(score_before, BigInteger), *rest))
    matching = matching.add_columns(score.label("score")).order_by(*(column.desc() for column in rank))
    return [_Match._make(row) for row in await views.read_live(tx, matching, limit)]


def _escape_like(typed: str) -> str:
    """Return a LIKE pattern that matches exactly this text."""
    return re.sub(r"[\\%_]", r"\\\g<0>", typed)


def _contains(key: SQLCoreOperations[str], word: str) -> ColumnElement[bool]:
    return key.like(f"%{_escape_like(word)}%")


def _is_part(word: str) -> ColumnElement[bool]:
    """Match names that contain a word, with or without its accents. An accent alone matches itself."""
    folded = names.fold_key(word)
    return _contains(_SEARCH_KEY, folded) if folded else _contains(Node.name_key, word)


def _is_typo_candidate(word: str) -> bool:
    """Tell whether to search for similar words: short words and numbers resemble too many others."""
    return len(word) >= 4 and not any(map(str.isdigit, word))


def _is_part_or_similar(word: str) -> ColumnElement[bool]:
    if not _is_typo_candidate(word):
        return _is_part(word)
    # A word of n letters has n + 1 trigrams. With fewer, the locale knows only fragments, which any name may contain.
    folded = names.fold_key(word)
    has_letters = func.cardinality(func.show_trgm(folded)) > len(folded)
    return or_(_is_part(word), and_(has_letters, _SEARCH_KEY.op("%>")(folded)))


def _build_score(q: str, words: list[str]) -> ColumnElement[int]:
    with_accents = and_(*(_contains(Node.name_key, word) for word in words))
    folded = _build_key_score(_SEARCH_KEY, names.fold_key(q), list(map(names.fold_key, words)))
    exact = _build_key_score(Node.name_key, q, words) + _WITH_ACCENTS
    return cast(case((with_accents, exact), else_=folded), BigInteger)


def _build_key_score(key: SQLCoreOperations[str], q: str, words: list[str]) -> ColumnElement[int]:
    whole = or_(key == q, key.like(f"{_escape_like(q)}.%"))
    begins = key.like(f"{_escape_like(q)}%")
    words_score = func.least(*(_build_word_score(key, word) for word in words))
    return case((whole, _WHOLE), (begins, _BEGINS), else_=words_score)


def _build_word_score(key: SQLCoreOperations[str], word: str) -> ColumnElement[int]:
    similarity = func.floor(_SIMILAR * func.word_similarity(word, key))
    word_begins = key.regexp_match(f"(^|[^[:alnum:]]){re.escape(word)}")
    return case((word_begins, _WORD_BEGINS), (_contains(key, word), _PART), else_=similarity)
