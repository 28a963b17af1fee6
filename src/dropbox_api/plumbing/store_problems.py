"""The problem that a caller gets for a failure of the object store."""

from dropbox_api import problems
from dropbox_api.storage.object_store import NoSpace, StoreError, StoreThrottled, StoreUnavailable


def to_problem(error: StoreError) -> problems.Problem:
    """Return the problem for a store error that no operation handled. Its text stays in the log."""
    if isinstance(error, NoSpace):
        return problems.StoreFull(retry_after_s=5)
    if isinstance(error, StoreThrottled):
        return problems.Unavailable("The object store asks to slow down", retry_after_s=5)
    if isinstance(error, StoreUnavailable):
        return problems.Unavailable("The object store does not answer", retry_after_s=2)
    return problems.InternalError()
