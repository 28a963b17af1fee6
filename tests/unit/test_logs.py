"""Logs: secrets are redacted in any position, and ordinary text is unchanged."""

import json
import logging
import subprocess
import sys

import pytest

from dropbox_api.plumbing import logs

PAT = "dbx_pat_" + "k3J9-_" * 7
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLW9mLXRva2Vu"
REFRESH = "0123456789abcdef0123456789abcdef.7." + "aB3_-" * 8 + "xyz"
FERNET = "gAAAAABrARYJ" + "rd_DRrPA-y" * 9 + "=="
LINK = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFy-_A"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        (f"used {PAT} today", PAT),
        (f"{{'authorization': 'Bearer {PAT}'}}", PAT),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        (f"refresh {REFRESH}", REFRESH),
        (f"/app#code={FERNET}", FERNET),
        ("{'verifier': 'of a client'}", "client"),
        (f"GET /s/{LINK}", LINK),
        (f"/v1/public/links/{LINK}/files", LINK),
        ("https://s3/b/k?X-Amz-Date=1&X-Amz-Signature=00ff00ff&x=1", "00ff00ff"),
        ("https://s3/b/k?X-Amz-Credential=AKIDEXAMPLE%2F2026&X-Amz-Security-Token=FwoGZXIv", "FwoGZXIv"),
        ("https://cdn/k?Policy=eyJ_cG9s&Signature=abc~def&Key-Pair-Id=K2J", "abc~def"),
        ("password=hunter2&x=1", "hunter2"),
        ("{'password': 'correct horse battery'}", "horse"),
        ('{"password":"correct horse battery"}', "horse"),
        (json.dumps({"event": json.dumps({"new_password": "correct horse"})}), "horse"),
        ("Set-Cookie: __Host-refresh=abcdef; Path=/", "abcdef"),
        ("cookie: link=0815", "0815"),
        ("otp=123456", "123456"),
        ('"otp": "123456"', "123456"),
        ("postgresql+asyncpg://app:s3cret@db/dropbox", "s3cret"),
        ("token: str input_value='my secret words', input_type=str", "my secret words"),
        ("hash $argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA", "aGFzaA"),
        ("(b'cookie', b'a=verysecret')", "verysecret"),
    ],
)
def test_redact_removes_secrets(text: str, secret: str) -> None:
    assert secret not in logs.redact(text)
    assert logs.REDACTED in logs.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "verify: found 3, done 3, failed 0",
        "POST /v1/auth/token 200 in 12.5 ms",
        "a zip was cut short at 0190f3c1-5a4e-7cc2-8000-0123456789ab",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
    ],
)
def test_redact_keeps_ordinary_text(text: str) -> None:
    assert logs.redact(text) == text


def line(record: logging.LogRecord, *, as_json: bool) -> str:
    return logs.formatter(as_json=as_json).format(record)


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.getLogger("uvicorn.error").makeRecord(
        "uvicorn.error", logging.INFO, "", 0, message, (), None, extra=extra
    )


def test_json_line_of_any_logger_is_one_object_without_secrets() -> None:
    try:
        raise ValueError(f'it was "{PAT}"\nand password="x y"')  # noqa: TRY301
    except ValueError as error:
        failed = record(f"failed with password='a b' \n and {JWT}", token=LINK, status=200)
        failed.exc_info = (type(error), error, error.__traceback__)
    text = line(failed, as_json=True)
    assert "\n" not in text
    entry = json.loads(text)
    assert (entry["level"], entry["logger"], entry["status"], entry["token"]) == (
        "info",
        "uvicorn.error",
        200,
        logs.REDACTED,
    )
    assert entry["event"].startswith("failed with password='[redacted]'")
    assert "Traceback" in entry["exception"]
    for secret in (PAT, JWT, LINK, "a b", "x y"):
        assert secret not in text


def test_console_line_holds_no_secret() -> None:
    text = line(record(f"with {JWT}", password="hunter2"), as_json=False)
    assert JWT not in text
    assert "hunter2" not in text
    assert "uvicorn.error" in text


def test_debug_log_has_no_messages_of_the_http_library() -> None:
    """They contain headers, such as cookies and bearer tokens."""
    program = """
import httpx2
from dropbox_api.plumbing import logs
from dropbox_api.settings import Settings

logs.configure(Settings(mode="dev", log_level="DEBUG"))
try:
    httpx2.get("http://127.0.0.1:1")
except httpx2.ConnectError:
    print("no server")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("no server\n", "")
