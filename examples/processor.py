"""A downstream processor: hears of each new file, downloads it, hashes it, and reports what it found.

    export DROPBOX_URL=http://127.0.0.1:8000   # and
    export DROPBOX_TOKEN=...                   # of a service account that sees the folder: files:read and processing
    WEBHOOK_SECRET=whsec_... python examples/processor.py --port 9000       # told by a webhook
    python examples/processor.py --queue https://sqs.eu-central-1.amazonaws.com/1/files      # or by SNS through SQS

Messages may come twice and in any order: reporting is idempotent and names the revision, so neither matters.
"""

import argparse
import base64
import hashlib
import hmac
import json
import logging
import os
import queue
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx

log = logging.getLogger("processor")
api = httpx.Client(base_url=os.environ["DROPBOX_URL"])
api.headers["Authorization"] = f"Bearer {os.environ['DROPBOX_TOKEN']}"


def process(message: dict[str, Any]) -> None:
    """Hash the revision that a `file.stored` tells of; pass over what was deleted since, or is not ours to see."""
    if message["kind"] != "file.stored":
        return
    file, revision = f"/v1/files/{message['file_id']}", message["detail"]["revision_id"]

    def report(state: str, detail: str | None = None) -> bool:
        body = {"state": state, "detail": detail, "revision_id": revision}
        answer = api.put(f"{file}/processing", json=body)
        return answer.status_code != 404 and bool(answer.raise_for_status())

    if not report("running"):
        return
    try:
        digest = hashlib.sha256()
        # Redirected to the object store; httpx does not take our token there.
        with api.stream("GET", f"{file}/content", params={"revision": revision}, follow_redirects=True) as answer:
            for block in answer.raise_for_status().iter_bytes(1 << 20):
                digest.update(block)
    except httpx.HTTPError as error:
        report("failed", type(error).__name__)
        raise
    report("succeeded", f"SHA-256 {digest.hexdigest()}")


def is_signed(headers: Message, body: bytes, secret: str) -> bool:
    """Verify that a webhook's call comes from our server, and is of now (https://www.standardwebhooks.com)."""
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256)
    ours = "v1," + base64.b64encode(digest).decode()
    signatures = headers.get("webhook-signature", "").split()
    is_recent = sent_at.isdigit() and abs(time.time() - int(sent_at)) < 300
    return is_recent and any(hmac.compare_digest(ours.encode(), theirs.encode()) for theirs in signatures)


def serve(port: int, secret: str) -> None:
    """Take a webhook's calls; answer at once and process behind that, since a call is given up after some seconds."""
    waiting: queue.Queue[bytes] = queue.Queue()  # in memory: what must survive a crash comes by SQS

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("content-length", 0)), 1 << 20))
            genuine = is_signed(self.headers, body, secret)
            if genuine:
                waiting.put(body)
            self.send_response(204 if genuine else 401)
            self.end_headers()

    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever, daemon=True).start()
    while True:
        body = waiting.get()
        for pause_s in (0, 1, 10, 60):  # the API may be away for a moment, and nobody tells us again
            time.sleep(pause_s)
            if attempt(body):
                break


def consume(queue_url: str) -> None:
    """Take messages from a queue that is subscribed to the topic; what fails comes again, until the queue gives up.

    Its visibility timeout is to be longer than the largest file takes.
    """
    sqs = boto3.client("sqs")
    while True:
        for received in sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=20).get("Messages", []):
            if attempt(received["Body"]):
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=received["ReceiptHandle"])


def attempt(body: str | bytes) -> bool:
    """Process a message; say so if it fails. One that cannot be read, or is not ours, keeps us from no other one."""
    try:
        said = json.loads(body)
        wrapped = said.get("Type") == "Notification"  # by SNS, unless it delivers raw messages
        process(json.loads(said["Message"]) if wrapped else said)
    except Exception:
        log.exception("%.200r", body)
        return False
    return True


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=9000, help="of the webhook, on 127.0.0.1")
    arguments.add_argument("--queue", metavar="URL", help="read this SQS queue instead")
    given = arguments.parse_args()
    if given.queue:
        consume(given.queue)
    else:
        serve(given.port, os.environ["WEBHOOK_SECRET"])
