"""A downstream processor: receives a message for each new file, downloads it, hashes it, and reports the result.

    export DROPBOX_URL=http://127.0.0.1:8000   # and
    export DROPBOX_TOKEN=...                   # of a service account with a grant: files:read and processing
    WEBHOOK_SECRET=whsec_... python examples/processor.py --port 9000       # by a webhook
    python examples/processor.py --queue https://sqs.eu-central-1.amazonaws.com/1/files      # or by SNS through SQS

Messages may repeat and arrive in any order: a report is idempotent and names the revision.
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
import httpx2

log = logging.getLogger("processor")
api = httpx2.Client(base_url=os.environ["DROPBOX_URL"])
api.headers["Authorization"] = f"Bearer {os.environ['DROPBOX_TOKEN']}"


def process(message: dict[str, Any]) -> None:
    """Hash the revision of a `file.stored`; skip a file that is deleted or no longer visible."""
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
        # The API redirects to the object store; httpx2 sends no token there.
        with api.stream("GET", f"{file}/content", params={"revision": revision}, follow_redirects=True) as answer:
            for block in answer.raise_for_status().iter_bytes(1 << 20):
                digest.update(block)
    except httpx2.HTTPError as error:
        report("failed", type(error).__name__)
        raise
    report("succeeded", f"SHA-256 {digest.hexdigest()}")


def is_signed(headers: Message, body: bytes, secret: str) -> bool:
    """Return whether the server signed the call within five minutes (https://www.standardwebhooks.com)."""
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(digest).decode()
    signatures = headers.get("webhook-signature", "").split()
    is_recent = sent_at.isdecimal() and abs(time.time() - int(sent_at)) < 300
    return is_recent and any(hmac.compare_digest(expected.encode(), given.encode()) for given in signatures)


def serve(port: int, secret: str) -> None:
    """Receive a webhook's calls. Answer at once and process afterwards, because a call times out after seconds."""
    waiting: queue.Queue[bytes] = queue.Queue()  # in memory; use SQS for messages that must survive a crash

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
        for pause_s in (0, 1, 10, 60):  # the API may be down for a moment, and an answered message is not repeated
            time.sleep(pause_s)
            if attempt(body):
                break


def consume(queue_url: str) -> None:
    """Receive messages from a queue that is subscribed to the topic; the queue repeats failed ones.

    Its visibility timeout must exceed the processing time of the largest file.
    """
    sqs = boto3.client("sqs")
    while True:
        for received in sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=20).get("Messages", []):
            if attempt(received["Body"]):
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=received["ReceiptHandle"])


def attempt(body: str | bytes) -> bool:
    """Process a message and return whether it succeeded. A failure is logged and leaves other messages unaffected."""
    try:
        message = json.loads(body)
        is_wrapped = message.get("Type") == "Notification"  # SNS wraps messages unless raw delivery is on
        process(json.loads(message["Message"]) if is_wrapped else message)
    except Exception:
        log.exception("%.200r", body)
        return False
    return True


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=9000, help="port of the webhook on 127.0.0.1")
    arguments.add_argument("--queue", metavar="URL", help="read this SQS queue instead")
    given = arguments.parse_args()
    if given.queue:
        consume(given.queue)
    else:
        serve(given.port, os.environ["WEBHOOK_SECRET"])
