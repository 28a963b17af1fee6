"""Register an account."""

import logging

from dropbox_api.accounts import account
from dropbox_api.accounts.factors import password_rules
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import Account
from dropbox_api.db import Db
from dropbox_api.problems import RegistrationClosed
from dropbox_api.settings import AuthSettings

log = logging.getLogger(__name__)


async def register_account(
    db: Db, settings: AuthSettings, passwords: Passwords, *, email: str, password: str
) -> Account:
    """Create an account with the default quota. `email` is in lower case.

    Raises RegistrationClosed, WeakPassword, EmailTaken. Transaction: one, after the password is hashed.
    """
    if settings.registration == "closed":
        raise RegistrationClosed
    password_rules.require_strong(password, email)
    password_hash = await passwords.hash(password)
    async with db.begin() as tx:
        created = await account.insert_account(tx, settings, account.NewAccount(email, password_hash))
    log.info("user %s registered", created.id)
    return created
