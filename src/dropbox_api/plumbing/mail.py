"""Plain text mail, sent in the background by SMTP or written into a folder as `.eml` files (dev, tests).

Requests neither wait for mail nor fail with it: sending starts after the caller's transaction, is tried three times,
and a final failure is logged without the address. So response times do not reveal whether a mail was sent. Mail that
waits when the process is killed is lost; users can request each mail again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid, parseaddr
from pathlib import Path
from typing import Any

import aiosmtplib

from dropbox_api.db import new_id
from dropbox_api.settings import MailSettings

RETRY_PAUSES_S = (1.0, 5.0)
"""Before the second and the third try."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mail:
    to: str
    """One bare address."""
    subject: str
    """May quote user input: `to_message` removes line breaks and other control characters."""
    text: str


class Mailer:
    """Sends mail in the background. Without a mail configuration it logs one warning and sends nothing."""

    def __init__(self, settings: MailSettings, retry_pauses_s: tuple[float, ...] = RETRY_PAUSES_S) -> None:
        self._settings = settings
        self._pauses_s = retry_pauses_s
        self._sending: set[asyncio.Task[None]] = set()
        self.is_configured = bool(settings.file_dir or settings.host)
        if not self.is_configured:
            log.warning("no mail is configured: users can neither verify an address nor reset a password")

    def send(self, mail: Mail) -> None:
        """Send this mail in the background."""
        if self.is_configured:
            self._start(self._deliver(mail))

    def send_composed(self, compose: Callable[[], Awaitable[Mail | None]]) -> None:
        """Compose and send a mail in the background; `compose` may return None to send none."""
        if self.is_configured:
            self._start(self._compose(compose))

    async def close(self) -> None:
        """Wait for mails being sent, at most the time of one attempt."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=self._settings.timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _compose(self, compose: Callable[[], Awaitable[Mail | None]]) -> None:
        try:
            mail = await compose()
        except Exception:
            log.exception("a mail could not be composed")
            return
        if mail is not None:
            await self._deliver(mail)

    async def _deliver(self, mail: Mail) -> None:
        try:
            message = to_message(mail, self._settings.sender)
        except ValueError:
            log.warning("mail not sent: invalid address")
            return
        for pause_s in (*self._pauses_s, None):
            try:
                await self._transfer(message)
            except (aiosmtplib.SMTPException, OSError, ValueError) as error:
                # Log the type only: the text may quote the address.
                log.warning("mail not sent (%s)%s", type(error).__name__, ", trying again" if pause_s else ", given up")
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
            else:
                return

    async def _transfer(self, message: EmailMessage) -> None:
        settings = self._settings
        if settings.file_dir:
            await asyncio.to_thread(_write, Path(settings.file_dir), message.as_bytes())
            return
        await aiosmtplib.send(
            message,
            hostname=settings.host,
            port=settings.port,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            username=settings.username or None,  # an empty setting means none
            password=settings.password.get_secret_value() if settings.password else None,
            timeout=settings.timeout_s,
        )


def to_message(mail: Mail, sender: str) -> EmailMessage:
    """Return the message to send. Raises ValueError for an invalid address."""
    message = EmailMessage(SMTP)
    name, address = parseaddr(sender)
    from_ = Address(name, addr_spec=address)
    message["From"] = from_
    message["To"] = Address(addr_spec=mail.to)
    message["Subject"] = "".join(char if char.isprintable() else " " for char in mail.subject)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=from_.domain or "localhost")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: asks for no automatic replies
    message.set_content(mail.text)
    return message


def _write(folder: Path, message: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{new_id()}.eml"
    # Private, because links in mails are secrets; renamed, so that readers of the folder see whole mails only.
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(message)
    new.rename(path)
