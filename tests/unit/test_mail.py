"""Mail: format of messages, delivery by SMTP and to files."""

import email
import logging
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from dropbox_api.plumbing.mail import Mail, Mailer, to_message
from dropbox_api.settings import MailSettings

MAIL = Mail("anna@example.com", "Grüße", "Guten Tag,\n\nhttps://example.com/verify-email?token=abc\n")


class Inbox:
    """Stores the messages of an SMTP server after it refused `refusals` times."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.messages: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 - names of aiosmtpd
        if self.refusals:
            self.refusals -= 1
            return "451 try later"
        self.messages.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 ok"


class Receiver(Controller):
    """A real SMTP server on a free port."""

    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines that the mailer logged; the SMTP server of the tests logs addresses."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("dropbox_api.")]


async def send_all(inbox: Inbox, *mails: Mail) -> None:
    receiver = Receiver(inbox, hostname="127.0.0.1", port=0)
    receiver.start()
    try:
        settings = MailSettings(host="127.0.0.1", port=receiver.port, security="none")
        mailer = Mailer(settings, retry_pauses_s=(0, 0))
        for mail in mails:
            mailer.send(mail)
        await mailer.close()
    finally:
        receiver.stop()


async def test_send_delivers_the_message_to_a_real_server() -> None:
    inbox = Inbox()
    await send_all(inbox, MAIL)
    (message,) = inbox.messages
    assert message["To"] == "anna@example.com"
    assert message["Subject"] == "Grüße"
    assert message["From"] == "dropbox-api <noreply@localhost>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"]
    assert message["Date"]
    assert message.get_content().replace("\r\n", "\n") == MAIL.text  # type: ignore[attr-defined]


async def test_send_with_failures_makes_three_attempts() -> None:
    inbox = Inbox(refusals=2)
    await send_all(inbox, MAIL)
    assert len(inbox.messages) == 1
    inbox = Inbox(refusals=3)
    await send_all(inbox, MAIL)
    assert inbox.messages == []


async def test_log_of_an_abandoned_mail_holds_no_address(caplog: pytest.LogCaptureFixture) -> None:
    await send_all(Inbox(refusals=9), MAIL)
    lines = own_lines(caplog)
    assert any("given up" in line for line in lines)
    assert not any("anna@example.com" in line for line in lines)


async def test_send_with_required_tls_to_a_server_without_it_delivers_nothing() -> None:
    inbox = Inbox()
    receiver = Receiver(inbox, hostname="127.0.0.1", port=0)
    receiver.start()
    try:
        for security in ("starttls", "tls"):
            settings = MailSettings.model_validate({"host": "127.0.0.1", "port": receiver.port, "security": security})
            mailer = Mailer(settings, retry_pauses_s=())
            mailer.send(MAIL)
            await mailer.close()
    finally:
        receiver.stop()
    assert inbox.messages == []


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@example.com", "a\nX: y", "a\x00b\x85c\u2028d"])
def test_subject_with_line_breaks_adds_no_header(subject: str) -> None:
    message = email.message_from_bytes(to_message(Mail("a@example.com", subject, "x"), "me@example.com").as_bytes())
    assert message["Bcc"] is None
    assert message["X"] is None
    assert message["Subject"]


@pytest.mark.parametrize("to", ["a@example.com\r\nBcc: eve@example.com", "a@example.com, eve@example.com", "unknown"])
def test_recipient_that_is_not_one_address_is_refused(to: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_message(Mail(to, "x", "x"), "me@example.com")


async def test_send_to_files_writes_whole_messages_for_their_owner_only(tmp_path: Path) -> None:
    mailer = Mailer(MailSettings(file_dir=str(tmp_path / "mail")))
    mailer.send(MAIL)
    await mailer.close()
    (path,) = (tmp_path / "mail").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert email.message_from_bytes(path.read_bytes(), policy=default)["To"] == "anna@example.com"


async def test_send_without_a_mail_server_composes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def compose() -> Mail:
        raise AssertionError

    with caplog.at_level(logging.WARNING):
        mailer = Mailer(MailSettings())
        mailer.send_composed(compose)
        mailer.send(MAIL)
        await mailer.close()
    assert own_lines(caplog) == ["no mail is configured: users can neither verify an address nor reset a password"]


async def test_failed_composition_is_logged_and_sends_nothing(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async def compose() -> Mail:
        raise RuntimeError("the database is gone")

    mailer = Mailer(MailSettings(file_dir=str(tmp_path / "mail")))
    mailer.send_composed(compose)
    await mailer.close()
    assert "could not be composed" in caplog.text
    assert not (tmp_path / "mail").exists()
