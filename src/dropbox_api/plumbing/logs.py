"""Log records of the server and its libraries: one line each to stderr, errors to Sentry, secrets redacted.

All records come through the standard library's logging, so uvicorn's and SQLAlchemy's lines have the same form.
Redaction works on the finished text, tracebacks included; `redact` defines what counts as a secret.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog
from structlog.types import EventDict, WrappedLogger

from dropbox_api import __version__
from dropbox_api.plumbing import request_source
from dropbox_api.settings import Settings

access = logging.getLogger("dropbox_api.access")

REDACTED = "[redacted]"
_NAMES = (
    r"x-amz-(?:signature|security-token|credential)|signature|policy|key-pair-id|(?:proxy-)?authorization|"
    r"(?:set-)?cookie|\w*passwords?|\w*password_hash|otp|totp\w*|recovery_codes?|\w*secret\w*|\w*tokens?|"
    r"\w*verifier|client_assertion|dsn"
)
_SECRETS = re.compile(
    r"(?P<pat>dbx_[a-z]{2,8}_[\w-]{8,})"
    r"|(?P<jwt>eyJ[\w-]{8,}(?:\.[\w-]*)+)"
    r"|(?P<fernet>gAAAAA[\w-]{40,}=*)"
    r"|(?P<refresh>\b[0-9a-f]{32}\.\d{1,9}\.[\w-]{43})"
    r"|(?P<url>(?<=://)[^\s/:@'\"\\]*:[^\s/@'\"\\]+(?=@))"
    # Tokens of links and mails: all random tokens and MACs of the server are 43 characters of base64url.
    r"|(?P<random>(?<![\w-])[\w-]{43}(?![\w-]))"
    r"|(?P<argon>\$argon2id?\$[^\s'\"\\]+)"
    r"|(?P<input>\binput(?:_value)?=.*?(?=, input_type=))"
    rf"|(?P<name>(?<![\w-])(?:{_NAMES})\\?[\"']?\)?\s*(?:[=:,]|%3D)\s*(?:b(?=['\"]))?)"
    r"(?:(?:Bearer|Basic|Digest)\s+[^\s'\"\\]+|(?P<quote>\\?[\"'])(?:Bearer\s+)?.*?(?P=quote)|[^\s\"'\\&,;)}\]]+)",
    re.IGNORECASE,
)
# Most lines have no mark of a secret; searching for marks first takes a tenth of the time.
_MARKS = [
    "dbx_",
    "eyj",
    "gaaaaa",
    "@",
    "$argon",
    "input",
    "signature",
    "policy",
    "amz",
    "pair-id",
    "authoriz",
    "cookie",
    "passw",
    "otp",
    "recovery",
    "secret",
    "token",
    "verifier",
    "assertion",
    "dsn",
]
_RANDOM = re.compile(r"(?<![\w-])[\w-]{43}", re.ASCII)


def redact(text: str) -> str:
    """Return the text without anything that looks like a secret: signatures, tokens, cookies, passwords, codes."""
    lowered = text.lower()
    if any(mark in lowered for mark in _MARKS) or _RANDOM.search(text):
        return _SECRETS.sub(_redact_match, text)
    return text


def _redact_match(match: re.Match[str]) -> str:
    name, quote = match["name"] or "", match["quote"] or ""
    return f"{name}{quote}{REDACTED}{quote}"


def configure(settings: Settings) -> None:
    """Send log records to stderr as the settings say, and unhandled errors to Sentry where it is configured."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and settings.mode != "dev")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(as_json=as_json))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # botocore, urllib3 and httpcore2 log whole requests or responses, headers included, at DEBUG.
    for name in ("aiobotocore", "botocore", "boto3", "urllib3", "httpx2", "httpcore2", "authlib", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(settings.log_level)))
    logging.captureWarnings(capture=True)
    if settings.sentry_dsn is not None:
        _report_errors(settings.sentry_dsn.get_secret_value(), settings.mode)


def formatter(*, as_json: bool) -> logging.Formatter:
    """Return the formatter of log lines: JSON objects, or text that has colours on a terminal."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_source,
    ]
    rendering: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
            )
        ]
    )
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[remove_meta, *rendering, _redact_line]
    )


def _add_source(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the request and user that the record belongs to."""
    source = request_source.get_source()
    if source.request_id is not None:
        event.setdefault("request_id", source.request_id)
    if source.actor_id is not None:
        event.setdefault("user_id", str(source.actor_id))
    return event


def _json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _redact_line(_: WrappedLogger, __: str, line: Any) -> str:
    return redact(line)


def _report_errors(dsn: str, mode: str) -> None:
    import sentry_sdk  # noqa: PLC0415 - slow to import, and optional
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415

    def clean_event(event: Any, _: Mapping[str, Any]) -> Any:
        event.pop("request", None)
        event.pop("user", None)
        return _without_secrets(event)

    sentry_sdk.init(
        dsn,
        release=f"dropbox-api@{__version__}",
        environment=mode,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration(event_level=logging.ERROR)],
        before_send=clean_event,
        before_breadcrumb=lambda crumb, _: _without_secrets(crumb),
    )


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, MutableMapping):
        return {
            key: REDACTED
            if isinstance(inner, str) and redact(f"{key}={inner}") == f"{key}={REDACTED}"
            else _without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_secrets(inner) for inner in value]
    return value
