"""Messages to an SNS topic and from an SQS queue.

Invariants:
- One client per topic or queue, made by `open`. No method keeps state between calls.
- Both deliver at least once: a published message may arrive twice, and a received one returns until `Queue.delete`.
- Every error leaves as a `MessagesError`.

Source: the SNS API reference, "PublishBatch"; the SQS API reference, "ReceiveMessage" and "DeleteMessageBatch".
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from dropbox_api.storage.object_store import StoreError

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sns.type_defs import PublishBatchRequestEntryTypeDef
    from types_aiobotocore_sqs import SQSClient

MAX_BATCH = 10
"""Messages in one call, of SNS and of SQS."""

MAX_WAIT_S = 20

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 30  # longer than the longest wait of `receive`
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class MessagesConfig:
    """A topic or queue, its endpoint and credentials."""

    name: str
    """The topic's ARN, or the queue's URL."""
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """None means AWS."""
    access_key_id: str | None = None
    """None: the machine's own credentials."""
    secret_access_key: str | None = field(default=None, repr=False)


class MessagesError(StoreError):
    """A topic or queue refused the call, or did not answer: then the outcome is unknown, and the call may be repeated.

    `refused`: the permanently refused messages of a batch, reason by id.
    """

    def __init__(self, detail: str, refused: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.refused = refused or {}


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to a topic."""

    id: str
    """Letters, digits, - and _, at most 80. A FIFO topic drops repetitions of an id within five minutes."""
    body: str
    """At most 256 KiB for all messages of a batch together."""
    attributes: Mapping[str, str]
    """For the filters of subscribers; values are not empty."""
    group: str
    """FIFO topics keep the order within a group; other topics keep no order."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message from a queue."""

    body: str
    receipt: str
    """Identifies this receipt, for `Queue.delete`."""


class Topic:
    """An SNS topic. Made by `Topic.open`."""

    def __init__(self, config: MessagesConfig, client: "SNSClient") -> None:
        self._arn = config.name
        self._is_fifo = config.name.endswith(".fifo")
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, config: MessagesConfig) -> AsyncIterator["Topic"]:
        """Connect while the context is open. Raises MessagesError when the region does not exist."""
        async with _client("sns", config) as client:
            yield cls(config, client)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send 1 to 10 messages with distinct ids, in order.

        Raises MessagesError when the topic refused a message; it may have accepted the others. Idempotent on a FIFO
        topic within five minutes; on others, subscribers may get messages twice.
        """
        with _errors():
            answer = await self._client.publish_batch(
                TopicArn=self._arn, PublishBatchRequestEntries=[self._entry(message) for message in messages]
            )
        failed = answer.get("Failed", [])
        if failed:
            reasons = {entry["Id"]: f"{entry['Code']}: {entry.get('Message', '')}" for entry in failed}
            refused = {entry["Id"]: reasons[entry["Id"]] for entry in failed if entry["SenderFault"]}
            raise MessagesError(f"{len(failed)} of {len(messages)} messages were refused: {reasons}", refused)

    def _entry(self, message: OutgoingMessage) -> "PublishBatchRequestEntryTypeDef":
        entry: PublishBatchRequestEntryTypeDef = {
            "Id": message.id,
            "Message": message.body,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
            },
        }
        if self._is_fifo:
            entry |= {"MessageGroupId": message.group, "MessageDeduplicationId": message.id}
        return entry


class Queue:
    """An SQS queue. Made by `Queue.open`."""

    def __init__(self, config: MessagesConfig, client: "SQSClient") -> None:
        self._url = config.name
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, config: MessagesConfig) -> AsyncIterator["Queue"]:
        """Connect while the context is open. Raises MessagesError when the region does not exist."""
        async with _client("sqs", config) as client:
            yield cls(config, client)

    async def receive(self, wait_s: int = MAX_WAIT_S) -> list[ReceivedMessage]:
        """Return up to 10 messages, waiting up to `wait_s` (0..20) for the first; the queue hides them for a while.

        Raises MessagesError.
        """
        with _errors():
            answer = await self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=MAX_BATCH, WaitTimeSeconds=min(wait_s, MAX_WAIT_S)
            )
        return [ReceivedMessage(message["Body"], message["ReceiptHandle"]) for message in answer.get("Messages", [])]

    async def delete(self, receipts: Sequence[str]) -> None:
        """Delete up to 10 received messages; a message that was received again since may stay. Idempotent.

        Raises MessagesError when the queue did not delete one of them.
        """
        if not receipts:
            return
        with _errors():
            answer = await self._client.delete_message_batch(
                QueueUrl=self._url,
                Entries=[{"Id": str(place), "ReceiptHandle": receipt} for place, receipt in enumerate(receipts)],
            )
        failed = answer.get("Failed", [])
        if failed:
            raise MessagesError(f"{len(failed)} of {len(receipts)} messages were not deleted: {failed[0]['Code']}")


@contextlib.asynccontextmanager
async def _client(service: Any, config: MessagesConfig) -> AsyncIterator[Any]:
    session = aioboto3.Session(aws_access_key_id=config.access_key_id, aws_secret_access_key=config.secret_access_key)
    boto = AioConfig(
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
    )
    async with contextlib.AsyncExitStack() as stack:
        with _errors():
            client = await stack.enter_async_context(
                session.client(service, region_name=config.region, endpoint_url=config.endpoint_url, config=boto)
            )
        yield client


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn the errors of boto and aiohttp into `MessagesError`; a wrong parameter is our bug and passes unchanged."""
    try:
        yield
    except ParamValidationError:
        raise
    except (ClientError, BotoCoreError, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise MessagesError(f"{type(error).__name__}: {error}") from error
