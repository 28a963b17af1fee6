"""What the account routes take and answer."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, EmailStr, Field, SecretStr

from dropbox_api.schemas import Answer, Request

Address = Annotated[EmailStr, AfterValidator(str.casefold), Field(description="Case does not matter.")]

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 128


def _of_characters(secret: SecretStr) -> SecretStr:
    """Refuse halves of surrogate pairs: JSON can spell them, UTF-8 cannot."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        # Not the error itself, which quotes the password.
        raise ValueError("must consist of Unicode characters") from None
    return secret


class Register(Request):
    email: Address
    password: Annotated[
        SecretStr,
        AfterValidator(_of_characters),
        Field(
            min_length=MIN_PASSWORD_CHARS,
            max_length=MAX_PASSWORD_CHARS,
            description="8 to 128 characters of any kind, kept exactly as typed.",
        ),
    ]


class PasswordGrant(Request):
    """The form of an OAuth2 password grant (RFC 6749 section 4.3.2).

    Unlike every other request it may carry members unknown to us, such as `scope` and `client_id`: section 3.2 has
    the token endpoint ignore them.
    """

    model_config = ConfigDict(extra="ignore")

    grant_type: Literal["password"]
    username: Annotated[Address, Field(description="The address of the account.")]
    password: Annotated[SecretStr, Field(max_length=MAX_PASSWORD_CHARS)]


class Refresh(Request):
    """The newest refresh token of a sign-in."""

    refresh_token: Annotated[SecretStr, Field(max_length=200)]


class Tokens(Answer):
    """The answer of RFC 6749 section 5.1; its names, not ours."""

    access_token: Annotated[str, Field(description="Goes into `Authorization: Bearer`; a JWT, opaque to clients.")]
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, not a token
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.")]
    refresh_token: Annotated[str, Field(description="Good for one refresh, which answers the next one.")]


class Account(Answer):
    id: uuid.UUID
    email: str
    created_at: datetime
    used_bytes: Annotated[int, Field(description="What is stored, every content once.")]
    reserved_bytes: Annotated[int, Field(description="What open uploads may add.")]
    quota_bytes: int
    used_nodes: Annotated[int, Field(description="Files and folders, trashed ones too.")]
    quota_nodes: int
