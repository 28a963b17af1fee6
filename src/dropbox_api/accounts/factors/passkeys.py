"""The passkeys of an account: add, list, rename and remove them, and require them.

Adding and removing needs a recent confirmation. Removing ends the other sessions: a lost device may have begun one.
"""

import logging
import uuid

from sqlalchemy import delete, exists, func, insert, select, update
from webauthn.helpers import bytes_to_base64url

from dropbox_api.accounts import account, sessions
from dropbox_api.accounts.factors import challenges, codes, relying_party, schemas
from dropbox_api.accounts.factors.confirm import require_enrolment, require_recent_confirmation
from dropbox_api.accounts.factors.schemas import (
    AddedPasskey,
    AddPasskey,
    PasskeyAlgorithm,
    PasskeyCreationOptions,
    PasskeyDescriptor,
    PasskeyList,
    PasskeySelection,
    PasskeyServer,
    PasskeyUser,
)
from dropbox_api.context import Context
from dropbox_api.db import Tx, new_id
from dropbox_api.models import Passkey, User
from dropbox_api.problems import NotFound, SecondFactorState

MAX_PASSKEYS = 50
_SERVICE = "dropbox-api"
_COLUMNS = (Passkey.id, Passkey.name, Passkey.created_at, Passkey.last_used_at)
"""The columns of `schemas.Passkey`."""

log = logging.getLogger(__name__)


async def begin_registration(context: Context) -> PasskeyCreationOptions:
    """Return what a browser needs to make a passkey. Raises PasskeysUnavailable, Forbidden (see `confirm`)."""
    party = relying_party.require_relying_party(context.settings)
    async with context.db.read() as tx:
        await require_enrolment(tx, context.actor)
    await require_recent_confirmation(context)
    known = select(Passkey.credential_id, Passkey.transports).where(Passkey.user_id == context.actor_id)
    async with context.db.read() as tx:
        passkeys = (await tx.execute(known)).all()
        display_name = await tx.scalar(select(User.display_name).where(User.id == context.actor_id))
    email = context.actor.email
    return PasskeyCreationOptions(
        rp=PasskeyServer(id=party.id, name=_SERVICE),
        user=PasskeyUser(id=_handle(context.actor_id), name=email, display_name=display_name or email),
        challenge=await challenges.issue_challenge(context.db, "registration", context.actor.session_id),
        pub_key_cred_params=[PasskeyAlgorithm(alg=algorithm.value) for algorithm in relying_party.ALGORITHMS],
        timeout=challenges.TIMEOUT_MS,
        exclude_credentials=[
            PasskeyDescriptor(id=bytes_to_base64url(row.credential_id), transports=row.transports) for row in passkeys
        ],
        authenticator_selection=PasskeySelection(),
    )


def _handle(user_id: uuid.UUID) -> str:
    return bytes_to_base64url(user_id.bytes)


async def add_passkey(context: Context, new: AddPasskey) -> AddedPasskey:
    """Add the passkey that answers a challenge of `begin_registration`, which was confirmed.

    Raises PasskeysUnavailable; InvalidPasskey, also for one that is registered already; SecondFactorState; Forbidden
    (see `require_enrolment`), Unauthenticated.
    Transaction: one, under the user's lock.
    """
    party, user_id, session_id = (
        relying_party.require_relying_party(context.settings),
        context.actor_id,
        context.actor.session_id,
    )
    async with context.db.begin() as tx:
        await account.lock_caller(tx, context.actor)
        await require_enrolment(tx, context.actor)  # the account may have got a factor since the challenge
        challenge = await challenges.spend_challenge(tx, new.credential, "registration", session_id)
        made = relying_party.check_registration(party, challenge, new.credential)
        if await _count_passkeys(tx, user_id) >= MAX_PASSKEYS:
            raise SecondFactorState(f"An account can have {MAX_PASSKEYS} passkeys: remove one first")
        values = {
            "id": new_id(),
            "user_id": user_id,
            "name": new.name,
            "credential_id": made.credential_id,
            "public_key": made.public_key,
            "sign_count": made.sign_count,
            "transports": list(new.credential.response.transports),
        }
        row = (await tx.execute(insert(Passkey).values(values).returning(*_COLUMNS))).one()
        if session_id is not None:
            await sessions.record_second_factor(tx, session_id)
        recovery_codes = await codes.add_first_recovery_codes(tx, context.settings.auth, user_id)
        await account.record_in_audit(tx, user_id, "passkey-added", {"name": new.name})
    log.info("user %s has a new passkey %s", user_id, row.id)
    return AddedPasskey(**row._asdict(), recovery_codes=recovery_codes)


async def list_passkeys(context: Context) -> PasskeyList:
    """List the caller's passkeys, newest first."""
    own = select(*_COLUMNS).where(Passkey.user_id == context.actor_id).order_by(Passkey.id.desc())
    async with context.db.read() as tx:
        rows = (await tx.execute(own)).all()
    return PasskeyList(items=[schemas.Passkey(**row._asdict()) for row in rows])


async def rename_passkey(context: Context, passkey_id: uuid.UUID, name: str) -> schemas.Passkey:
    """Rename a passkey of the caller. Raises NotFound."""
    own = (Passkey.id == passkey_id, Passkey.user_id == context.actor_id)
    async with context.db.begin() as tx:
        row = (await tx.execute(update(Passkey).where(*own).values(name=name).returning(*_COLUMNS))).one_or_none()
    if row is None:
        raise NotFound
    return schemas.Passkey(**row._asdict())


async def remove_passkey(context: Context, passkey_id: uuid.UUID) -> str:
    """Remove a passkey of the caller and end the caller's other sessions; return its name.

    Raises NotFound, Forbidden (see `confirm`). Transaction: one, under the user's lock.
    """
    await require_recent_confirmation(context)
    user_id = context.actor_id
    own = (Passkey.id == passkey_id, Passkey.user_id == user_id)
    async with context.db.begin() as tx:
        await account.lock_account(tx, user_id)
        name: str | None = await tx.scalar(delete(Passkey).where(*own).returning(Passkey.name))
        if name is None:
            raise NotFound
        if await _count_passkeys(tx, user_id) == 0:
            await tx.execute(update(User).where(User.id == user_id).values(passkeys_only=False))
            await codes.delete_needless_recovery_codes(tx, user_id)
        await sessions.end_sessions(tx, user_id, keep=context.actor.session_id)
        await account.record_in_audit(tx, user_id, "passkey-removed", {"name": name})
    log.info("user %s removed passkey %s", user_id, passkey_id)
    return name


async def set_passkeys_only(context: Context, *, enabled: bool) -> None:
    """Choose whether a sign-in by password needs a second factor although no app is set up.

    Raises SecondFactorState for an account without a passkey, or whose password could sign in no more because every
    recovery code is used; Forbidden (see `confirm`).
    """
    await require_recent_confirmation(context)
    has_passkey = exists().where(Passkey.user_id == User.id)
    own = (User.id == context.actor_id, *([has_passkey] if enabled else []))
    async with context.db.begin() as tx:
        await account.lock_account(tx, context.actor_id)
        if (await tx.execute(update(User).where(*own).values(passkeys_only=enabled))).rowcount == 0:
            raise SecondFactorState("The account has no passkey: add one first")
        if enabled and not await tx.scalar(select(codes.can_make_code(context.actor_id))):
            raise SecondFactorState("All recovery codes are used: get new ones first")


async def _count_passkeys(tx: Tx, user_id: uuid.UUID) -> int:
    count = await tx.scalar(select(func.count()).select_from(Passkey).where(Passkey.user_id == user_id))
    return count or 0
