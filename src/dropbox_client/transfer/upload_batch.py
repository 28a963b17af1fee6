"""The upload of many small files: one call starts hundreds, each file is one PUT, one call completes them.

A batch is the fast path. Files that need more than one attempt (an expired URL, damaged bytes, a session that ended or
that another device shares) are handed to `upload_file`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from dropbox_client.errors import ApiError, ClientError, NotSignedIn, Stopped, TransferFailed, Unreachable
from dropbox_client.models import CreatedUploadItem, CreateUpload, SignedPart
from dropbox_client.problems import StoreFull, UploadCompleting
from dropbox_client.retry import Backoff, RetryWindow
from dropbox_client.transfer.parts import PartResult, PartSender
from dropbox_client.transfer.progress import UploadItem, UploadResult
from dropbox_client.transfer.source import hash_range
from dropbox_client.transfer.upload_file import COMPLETE_RETRY_FOR_S, UploadContext, new_upload

_RETRYABLE_ALONE = frozenset({"upload-expired", "upload-ended", "upload-failed", "parts-missing"})


@dataclass(frozen=True, slots=True)
class _HashedFile:
    item: UploadItem
    new: CreateUpload


def send_batch(
    context: UploadContext,
    hashers: Executor,
    items: Sequence[UploadItem],
    upload_alone: Callable[[UploadItem], UploadResult],
) -> list[UploadResult]:
    """Upload small files, at most as many as the server accepts in a batch; return the results in any order.

    `upload_alone` gets the files that need more than one attempt.
    Raises: NotSignedIn, Stopped, Unreachable: failures that concern all files.
    """
    results: list[UploadResult] = []
    unique: dict[str | None, _HashedFile] = {}
    duplicates: list[_HashedFile] = []
    for result in hashers.map(partial(_hash, context), items):
        if isinstance(result, UploadResult):
            results.append(result)
        elif result.new.fingerprint in unique:
            duplicates.append(result)  # same content: deduplicated once the first one is stored
        else:
            unique[result.new.fingerprint] = result
    for group in (list(unique.values()), duplicates):
        if group:
            results += _Batch(context, group, upload_alone).run()
    return results


def _hash(context: UploadContext, item: UploadItem) -> _HashedFile | UploadResult:
    if context.client.stopping.is_set():
        raise Stopped("stopped")
    try:
        with context.open_source(item) as source:
            new = new_upload(item, source, hash_range(source, 0, source.size_bytes))
            source.check()
            return _HashedFile(item, new)
    except ClientError as error:
        return UploadResult(item, error=error)


class _Batch:
    """Files of different contents, from start to complete."""

    def __init__(
        self, context: UploadContext, files: Sequence[_HashedFile], upload_alone: Callable[[UploadItem], UploadResult]
    ) -> None:
        self._context = context
        self._files = files
        self._upload_alone = upload_alone
        self._retry_window = RetryWindow(context.retry_for_s, waits=context.client.exchange.waits)
        self._results: list[UploadResult] = []
        self._remaining: list[UploadItem] = []
        """Files for `upload_alone`."""

    def run(self) -> list[UploadResult]:
        try:
            answers = self._context.client.uploads.start_batch([file.new for file in self._files])
        except StoreFull as full:  # it stays so for each file alone
            return [UploadResult(file.item, error=full) for file in self._files]
        except ApiError:  # an item that the server cannot parse must not fail the others
            self._remaining = [file.item for file in self._files]
        else:
            self._complete(self._send(answers))
        return self._results + [self._upload_alone(item) for item in self._remaining]

    def _send(self, answers: Sequence[CreatedUploadItem]) -> dict[str, _HashedFile]:
        """Send the files that the server does not have; return those to complete, by session id."""
        sending = []
        stored: dict[str, _HashedFile] = {}
        for file, answer in zip(self._files, answers, strict=True):
            upload = answer.upload
            if answer.problem:
                self._record_problem(file.item, answer.problem)
            elif answer.file:
                self._context.listener.on_bytes(file.item, file.new.size_bytes)
                self._results.append(UploadResult(file.item, file=answer.file))
            elif upload is None or len(upload.destinations) > 1 or not answer.parts:
                self._remaining.append(file.item)
            else:
                part = answer.parts[0]
                sending.append((file, upload.id, self._context.senders.submit(self._put, file, upload.id, part)))
        for file, upload_id, put in sending:
            try:
                if put.result() is PartResult.STORED:
                    stored[upload_id] = file
                else:
                    self._remaining.append(file.item)
            except (NotSignedIn, Stopped, Unreachable):
                raise
            except ClientError as error:
                self._results.append(UploadResult(file.item, error=error))
        return stored

    def _put(self, file: _HashedFile, upload_id: str, part: SignedPart) -> PartResult:
        client = self._context.client
        stopping: threading.Event = client.stopping
        with self._context.open_source(file.item) as source:
            sender = PartSender(
                client.transport,
                source,
                self._retry_window,
                stopping,
                partial(self._context.listener.on_bytes, file.item),
                lambda number, sha256: client.uploads.sign_parts(upload_id, {number: sha256}),
            )
            return sender.send(part, file.new.fingerprint or "")

    def _complete(self, stored: dict[str, _HashedFile]) -> None:
        window = RetryWindow(COMPLETE_RETRY_FOR_S, waits=self._context.client.exchange.waits)
        with Backoff(window, cap_s=5) as backoff:
            while stored:
                completing = self._complete_once(stored)
                if len(completing) < len(stored):
                    window.renew()
                stored = completing
                if stored and not self._wait(backoff):
                    error = TransferFailed("the server is still completing the file; run the same command again later")
                    self._results += [UploadResult(file.item, error=error) for file in stored.values()]
                    return

    def _complete_once(self, stored: Mapping[str, _HashedFile]) -> dict[str, _HashedFile]:
        """Complete sessions; return those for which the server needs longer."""
        completing: dict[str, _HashedFile] = {}
        for answer in self._context.client.uploads.complete_batch(list(stored)):
            file = stored[answer.upload_id]
            if answer.file:
                self._results.append(UploadResult(file.item, file=answer.file, sent_bytes=file.new.size_bytes))
            elif isinstance(answer.problem, UploadCompleting):
                completing[answer.upload_id] = file
            else:
                self._context.listener.on_bytes(file.item, -file.new.size_bytes)
                self._record_problem(
                    file.item, answer.problem or TransferFailed("the server answered neither file nor problem")
                )
        return completing

    def _wait(self, backoff: Backoff) -> bool:
        """Wait before the next call; return False to give up. Raises: Stopped."""
        pause_s = backoff.next_pause_s(1, failure=TransferFailed("the server is still completing files"))
        if pause_s is None:
            return False
        if self._context.client.stopping.wait(pause_s):
            raise Stopped("stopped")
        return True

    def _record_problem(self, item: UploadItem, problem: ClientError) -> None:
        if isinstance(problem, ApiError) and (problem.retryable or problem.code in _RETRYABLE_ALONE):
            self._remaining.append(item)
        else:
            self._results.append(UploadResult(item, error=problem))
