"""Jobs `finish-stale` and `finish-idle`: complete uploads that their clients or servers abandoned."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import func, or_, select

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing import request_source
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads.complete import complete_session
from dropbox_api.uploads.sessions import IS_LEASE_FREE
from dropbox_api.workers.due_sessions import DueSession, claim_due_sessions
from dropbox_api.workers.reports import Report

_CLIENT_PROBLEMS = (
    problems.ChunksMissing,
    problems.PartsMissing,
    problems.DestinationRefused,
    problems.UploadExpired,
    problems.ParentGone,
)

log = logging.getLogger(__name__)

SESSIONS_PER_RUN = 8
"""Completed concurrently: a run ends after `complete_wait_s`, and leaves connections to other jobs."""


async def finish_stale_uploads(services: Services) -> Report:
    """Complete `completing` sessions whose lease has lapsed."""
    lease_s = services.settings.uploads.lease_s
    conditions = (Upload.state == "completing", Upload.encoded_etag.is_(None), IS_LEASE_FREE)
    return await _complete_sessions(
        services,
        await claim_due_sessions(services.db, SESSIONS_PER_RUN, lease_s, *conditions),
    )


async def finish_idle_uploads(services: Services) -> Report:
    """Complete active sessions whose client is silent although every part may be stored.

    Only sessions with a hash for every chunk of the file are worth a ListParts.
    """
    unsigned = select(UploadChunk.number).where(UploadChunk.upload_id == Upload.id, UploadChunk.sha256.is_(None))
    listed = select(func.sum(UploadChunk.size_bytes)).where(UploadChunk.upload_id == Upload.id).scalar_subquery()
    # OFFSET keeps it a subquery of each due session; Postgres would join the whole table of chunks otherwise.
    conditions = (
        Upload.state == "active",
        Upload.fingerprint.is_not(None),
        ~unsigned.offset(0).exists(),
        or_(Upload.chunking == "fixed", listed == Upload.size_bytes),
    )
    pause_s = services.settings.uploads.idle_finalise_s
    return await _complete_sessions(
        services, await claim_due_sessions(services.db, SESSIONS_PER_RUN, pause_s, *conditions)
    )


async def _complete_sessions(services: Services, sessions: Sequence[DueSession]) -> Report:
    outcomes = await asyncio.gather(*(_complete(services, session) for session in sessions))
    return Report(len(sessions), outcomes.count("done"), outcomes.count("failed"))


async def _complete(services: Services, session: DueSession) -> Literal["done", "continues", "failed"]:
    """Complete a session. It `continues` when the store needs longer."""
    try:
        with request_source.act_for(None if session.link_id else session.uploader_id, session.link_id):
            is_done = await complete_session(services, session.id)
    except _CLIENT_PROBLEMS:
        return "done"
    except (problems.Problem, StoreError) as error:
        log.warning("upload %s could not be completed: %s", session.id, error)
        return "failed"
    except Exception:  # an unexpected error of one session must not stop the others
        log.exception("upload %s could not be completed", session.id)
        return "failed"
    return "done" if is_done else "continues"
