"""Messages out to an SNS topic, and in from an SQS queue.

Invariants:
- One client per topic or queue, made by `open`. No method keeps state between calls.
- Both are at least once: what was published may arrive twice, what was received comes again until `Queue.delete`.
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
"""Messages in one call, to SNS as from SQS."""

MAX_WAIT_S = 20

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 30  # longer than the longest wait of `receive`
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class MessagesConfig:
    """Where a topic or queue is and how to speak to it."""

    name: str
    """The topic's ARN, or the queue's URL."""
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """None means AWS."""
    access_key_id: str | None = None
    """None: the machine's own credentials."""
    secret_access_key: str | None = field(default=None, repr=False)


class MessagesError(StoreError):
    """A topic or queue refused, or did not answer; then the outcome is unknown, and the call may be repeated.

    `refused`: of a batch, the ids of the messages that can never be sent as they are, and why.
    """

    def __init__(self, detail: str, refused: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.refused = refused or {}


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to a topic."""

    id: str
    """Letters, digits, - and _, at most 80; a FIFO topic takes one message of an id within five minutes."""
    body: str
    """At most 256 KiB, all messages of a batch together."""
    attributes: Mapping[str, str]
    """What subscribers filter by; values are not empty."""
    group: str
    """FIFO topics keep the order within a group; others keep none."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message from a queue."""

    body: str
    receipt: str
    """Names this receipt of it, for `Queue.delete`."""


class Topic:
    """An SNS topic. Made by `Topic.open`."""

    def __init__(self, config: MessagesConfig, client: "SNSClient") -> None:
        self._arn = config.name
        self._is_fifo = config.name.endswith(".fifo")
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, config: MessagesConfig) -> AsyncIterator["Topic"]:
        """Connect for as long as the context lives. Raises: MessagesError when there is no such region."""
        async with _client("sns", config) as client:
            yield cls(config, client)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send 1 to 10 messages, their ids distinct, in order.

        Raises MessagesError when one of them was not taken; the others may have been. Publishing them all again is
        safe: to a FIFO topic within five minutes, elsewhere as safe as its subscribers are.
        """
        with _errors():
            answer = await self._client.publish_batch(
                TopicArn=self._arn, PublishBatchRequestEntries=[self._entry(message) for message in messages]
            )
        failed = answer.get("Failed", [])
        if failed:
            said = {entry["Id"]: f"{entry['Code']}: {entry.get('Message', '')}" for entry in failed}
            refused = {entry["Id"]: said[entry["Id"]] for entry in failed if entry["SenderFault"]}
            raise MessagesError(f"{len(failed)} of {len(messages)} messages were not taken: {said}", refused)

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
        """Connect for as long as the context lives. Raises: MessagesError when there is no such region."""
        async with _client("sqs", config) as client:
            yield cls(config, client)

    async def receive(self, wait_s: int = MAX_WAIT_S) -> list[ReceivedMessage]:
        """Return up to 10 messages, waiting up to `wait_s` (0..20) for the first; they are hidden from others a while.

        Raises: MessagesError.
        """
        with _errors():
            answer = await self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=MAX_BATCH, WaitTimeSeconds=min(wait_s, MAX_WAIT_S)
            )
        return [ReceivedMessage(message["Body"], message["ReceiptHandle"]) for message in answer.get("Messages", [])]

    async def delete(self, receipts: Sequence[str]) -> None:
        """Delete up to 10 received messages; one that has come again meanwhile may stay.

        Raises MessagesError when one of them is not deleted.
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
    """Turn what boto and aiohttp raise into `MessagesError`; a wrong parameter is our bug and stays one."""
    try:
        yield
    except ParamValidationError:
        raise
    except (ClientError, BotoCoreError, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise MessagesError(f"{type(error).__name__}: {error}") from error
