"""SNS and SQS, simulated by ministack or moto, with the topics, queues and subscriptions that an operator makes."""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aioboto3

from dropbox_api.storage.messages import MessagesConfig
from tests.support.aws import AwsSimulation

CONFIG = MessagesConfig(
    "", access_key_id=AwsSimulation.access_key_id, secret_access_key=AwsSimulation.secret_access_key
)


class Bus:
    """Creates topics and queues, and sends and counts messages."""

    def __init__(self, endpoint_url: str, sns: Any, sqs: Any) -> None:
        self.endpoint_url = endpoint_url
        self._sns = sns
        self._sqs = sqs

    def config(self, name: str) -> MessagesConfig:
        return replace(CONFIG, name=name, endpoint_url=self.endpoint_url)

    async def create_queue(self, **attributes: str) -> str:
        fifo = ".fifo" if attributes.get("FifoQueue") else ""
        made = await self._sqs.create_queue(QueueName=f"{uuid.uuid4().hex}{fifo}", Attributes=attributes)
        return str(made["QueueUrl"])

    async def create_topic(self, **attributes: str) -> str:
        fifo = ".fifo" if attributes.get("FifoTopic") else ""
        made = await self._sns.create_topic(Name=f"{uuid.uuid4().hex}{fifo}", Attributes=attributes)
        return str(made["TopicArn"])

    async def subscribe(self, topic_arn: str, queue_url: str) -> None:
        attributes = await self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        queue_arn = attributes["Attributes"]["QueueArn"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        await self._sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
        await self._sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)

    async def count_messages(self, queue_url: str) -> int:
        """Return the number of messages in a queue, visible or hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = await self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
        return sum(int(attributes["Attributes"][name]) for name in names)

    async def send(self, queue_url: str, body: str) -> None:
        await self._sqs.send_message(QueueUrl=queue_url, MessageBody=body)


@asynccontextmanager
async def running_bus(simulation: AwsSimulation) -> AsyncIterator[Bus]:
    """Run an empty bus."""
    session = aioboto3.Session(CONFIG.access_key_id, CONFIG.secret_access_key)
    with simulation as running:
        where: dict[str, Any] = {"region_name": CONFIG.region, "endpoint_url": running.endpoint_url}
        async with session.client("sns", **where) as sns, session.client("sqs", **where) as sqs:
            yield Bus(running.endpoint_url, sns, sqs)
