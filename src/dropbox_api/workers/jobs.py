"""The table of jobs: the work of the server outside requests.

To add a job, write one module, named as the job, with a function `(services: Services) -> Report`, and add one line
here. The runner, `worker --once NAME` and the metrics find it in this table. `reports.Job` states what a job must do.
"""

from collections.abc import Mapping

from dropbox_api.workers.collect import collect_blobs
from dropbox_api.workers.consume import consume_notifications
from dropbox_api.workers.copy import make_next_copy
from dropbox_api.workers.decode import decode_next_upload
from dropbox_api.workers.delete_accounts import delete_accounts
from dropbox_api.workers.deliver import deliver_messages
from dropbox_api.workers.discard import discard_leftovers
from dropbox_api.workers.epoch import note_restore
from dropbox_api.workers.expire import expire_uploads
from dropbox_api.workers.finish import finish_idle_uploads, finish_stale_uploads
from dropbox_api.workers.forget import forget_idempotency_keys
from dropbox_api.workers.prune import prune_revisions
from dropbox_api.workers.publish import publish_changes
from dropbox_api.workers.purge import purge_trash
from dropbox_api.workers.relay import relay_changes
from dropbox_api.workers.retain import apply_retention
from dropbox_api.workers.reuse import reuse_chunks
from dropbox_api.workers.schedule import Schedule, ScheduledJob
from dropbox_api.workers.scrub import scrub_blobs
from dropbox_api.workers.sort_names import sort_names
from dropbox_api.workers.space import check_space
from dropbox_api.workers.sweep import sweep_orphans
from dropbox_api.workers.thin import thin_revisions
from dropbox_api.workers.thumbnails import make_thumbnails
from dropbox_api.workers.verify import verify_next_blob

JOBS: Mapping[str, ScheduledJob] = {
    "epoch": ScheduledJob(note_restore, logs_notes=True),
    "finish-stale": ScheduledJob(finish_stale_uploads),
    "finish-idle": ScheduledJob(finish_idle_uploads),
    "decode": ScheduledJob(decode_next_upload, Schedule.ON_CHANGE),
    "reuse": ScheduledJob(reuse_chunks, Schedule.ON_CHANGE),
    "consume": ScheduledJob(consume_notifications),
    "relay": ScheduledJob(relay_changes, Schedule.ON_CHANGE, makes_work=True),
    "publish": ScheduledJob(publish_changes, Schedule.ON_CHANGE),
    "deliver": ScheduledJob(deliver_messages, Schedule.ON_CHANGE),
    "copy": ScheduledJob(make_next_copy, makes_work=True),
    "verify": ScheduledJob(verify_next_blob),
    "thumbnails": ScheduledJob(make_thumbnails),
    "expire": ScheduledJob(expire_uploads),
    "discard": ScheduledJob(discard_leftovers),
    "delete-accounts": ScheduledJob(delete_accounts),
    "purge": ScheduledJob(purge_trash),
    "prune": ScheduledJob(prune_revisions, Schedule.SWEEP),
    "thin": ScheduledJob(thin_revisions, Schedule.SWEEP),
    "forget": ScheduledJob(forget_idempotency_keys),
    "retain": ScheduledJob(apply_retention, Schedule.SWEEP),
    "sort-names": ScheduledJob(sort_names),
    "collect": ScheduledJob(collect_blobs),
    "sweep": ScheduledJob(sweep_orphans, Schedule.SWEEP),
    "space": ScheduledJob(check_space, Schedule.SWEEP, logs_notes=True),
    "scrub": ScheduledJob(scrub_blobs, Schedule.SWEEP, logs_notes=True),
}
