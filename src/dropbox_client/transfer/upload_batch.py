"""Sending many small files: one call starts hundreds, each is one PUT, one call completes them.

This is the fast way for what goes smoothly. Whatever does not (an expired URL, damaged bytes, a session that ended or
is shared with another device) is handed to `transfer.upload_file`, which takes its time for each.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from dropbox_client.errors import ApiProblem, ClientError, NotSignedIn, Stopped, TransferFailed, Unreachable
from dropbox_client.models import NewUpload, SignedPart, StartedUpload
from dropbox_client.retry import Patience
from dropbox_client.transfer.parts import PartSender, Sent
from dropbox_client.transfer.progress import Item, Outcome
from dropbox_client.transfer.source import Source, hash_range
from dropbox_client.transfer.upload_file import Shared, new_upload

_SECOND_CHANCE = frozenset({"upload-expired", "upload-ended", "upload-failed", "parts-missing", "upload-completing"})


@dataclass(frozen=True, slots=True)
class _Hashed:
    item: Item
    new: NewUpload


def send_batch(
    shared: Shared, hashers: Executor, items: Sequence[Item], carefully: Callable[[Item], Outcome]
) -> list[Outcome]:
    """Store small files, at most as many as the server takes in a batch; return what came of each, in any order.

    `carefully` sends one file by itself; it gets those that need more than one try.
    Raises: NotSignedIn, Stopped, Unreachable: then nothing more can be done for any file.
    """
    outcomes: list[Outcome] = []
    first: dict[str | None, _Hashed] = {}
    again: list[_Hashed] = []
    for result in hashers.map(partial(_hash, shared), items):
        if isinstance(result, Outcome):
            outcomes.append(result)
        elif result.new.fingerprint in first:
            again.append(result)  # the same content twice: once the first is stored, there is nothing to send
        else:
            first[result.new.fingerprint] = result
    for some in (list(first.values()), again):
        if some:
            outcomes += _Batch(shared, some, carefully).run()
    return outcomes


def _hash(shared: Shared, item: Item) -> _Hashed | Outcome:
    if shared.client.stopping.is_set():
        raise Stopped("stopped")
    try:
        with Source(item.path) as source:
            new = new_upload(item, source, hash_range(source, 0, source.size_bytes))
            source.check()
            return _Hashed(item, new)
    except ClientError as error:
        return Outcome(item, error=error)


class _Batch:
    """Some files of different content, from start to complete."""

    def __init__(self, shared: Shared, files: Sequence[_Hashed], carefully: Callable[[Item], Outcome]) -> None:
        self._shared = shared
        self._files = files
        self._carefully = carefully
        self._patience = Patience(shared.patience_s)
        self._outcomes: list[Outcome] = []
        self._left: list[Item] = []
        """Those that need more care."""

    def run(self) -> list[Outcome]:
        try:
            answers = self._shared.client.start_batch([file.new for file in self._files])
        except ApiProblem:  # one item that the server cannot even read must not sink the others
            self._left = [file.item for file in self._files]
        else:
            self._complete(self._send(answers))
        return self._outcomes + [self._carefully(item) for item in self._left]

    def _send(self, answers: Sequence[StartedUpload]) -> dict[str, _Hashed]:
        """Send what the server has not got yet; return what can be completed, by session."""
        sending = []
        landed: dict[str, _Hashed] = {}
        for file, answer in zip(self._files, answers, strict=True):
            upload = answer.upload
            if answer.problem:
                self._refused(file.item, answer.problem)
            elif answer.file:
                self._shared.watcher.moved(file.item, file.new.size_bytes)
                self._outcomes.append(Outcome(file.item, file=answer.file))
            elif upload is None or len(upload.destinations) > 1 or not answer.parts:
                self._left.append(file.item)
            else:
                part = answer.parts[0]
                sending.append((file, upload.id, self._shared.senders.submit(self._put, file, part)))
        for file, upload_id, put in sending:
            try:
                if put.result() is Sent.LANDED:
                    landed[upload_id] = file
                else:
                    self._left.append(file.item)
            except (NotSignedIn, Stopped, Unreachable):
                raise
            except ClientError as error:
                self._outcomes.append(Outcome(file.item, error=error))
        return landed

    def _put(self, file: _Hashed, part: SignedPart) -> Sent:
        stopping: threading.Event = self._shared.client.stopping
        with Source(file.item.path) as source:
            sender = PartSender(
                self._shared.client.wire,
                source,
                self._patience,
                stopping,
                partial(self._shared.watcher.moved, file.item),
            )
            return sender.send(part, file.new.fingerprint or "")

    def _complete(self, landed: dict[str, _Hashed]) -> None:
        if not landed:
            return
        for answer in self._shared.client.complete_batch(list(landed)):
            file = landed[answer.upload_id]
            if answer.file:
                self._outcomes.append(Outcome(file.item, file=answer.file, sent_bytes=file.new.size_bytes))
                continue
            self._shared.watcher.moved(file.item, -file.new.size_bytes)
            self._refused(file.item, answer.problem or TransferFailed("the server answered neither file nor problem"))

    def _refused(self, item: Item, problem: ClientError) -> None:
        if isinstance(problem, ApiProblem) and (problem.retryable or problem.code in _SECOND_CHANCE):
            self._left.append(item)
        else:
            self._outcomes.append(Outcome(item, error=problem))
