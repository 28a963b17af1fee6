"""What the account routes take and answer."""

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, EmailStr, Field, SecretStr, StringConstraints, model_validator

from dropbox_api.schemas import Answer, Request

# Not case-folded: `straße.de` and `strasse.de` are the domains of two people, and whoever has one is not the other.
Address = Annotated[EmailStr, AfterValidator(str.lower), Field(description="Case does not matter.")]

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 128


def require_unicode(secret: SecretStr) -> SecretStr:
    """Refuse lone surrogates: JSON can contain them, UTF-8 cannot."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        # Without the original error, which quotes the password.
        raise ValueError("must consist of Unicode characters") from None
    return secret


NewPassword = Annotated[
    SecretStr,
    AfterValidator(require_unicode),
    Field(
        min_length=MIN_PASSWORD_CHARS,
        max_length=MAX_PASSWORD_CHARS,
        description="8 to 128 characters of any kind, kept exactly as typed.",
    ),
]
_TypedPassword = Annotated[SecretStr, AfterValidator(require_unicode), Field(max_length=MAX_PASSWORD_CHARS)]
Password = Annotated[
    _TypedPassword | None,
    Field(description="Yours. An account that has none leaves it out, within ten minutes of signing in."),
]
Otp = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Za-z -]{1,40}$"),
    Field(description="A code of the authenticator app, or a recovery code.", examples=["492039"]),
]

# Signing in


class Register(Request):
    email: Address
    password: NewPassword


class PasswordGrant(Request):
    """The form of an OAuth2 password grant (RFC 6749 section 4.3.2).

    Unlike every other request it may carry members unknown to us, such as `scope` and `client_id`: section 3.2 has
    the token endpoint ignore them.
    """

    model_config = ConfigDict(extra="ignore")

    grant_type: Literal["password"]
    username: Annotated[Address, Field(description="The address of the account.")]
    password: Annotated[SecretStr, Field(max_length=MAX_PASSWORD_CHARS)]
    otp: Annotated[Otp | None, Field(description="Where the account has a second factor: a code of it.")] = None


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
    kind: Annotated[Literal["person", "service"], Field(description="`service`: the account of a program.")]
    is_admin: bool
    email_verified_at: datetime | None
    second_factor: Annotated[bool, Field(description="Whether signing in takes a code, too.")]
    has_password: Annotated[bool, Field(description="Without one they sign in elsewhere, or not at all.")]
    created_at: datetime
    used_bytes: Annotated[int, Field(description="What is stored, every content once.")]
    reserved_bytes: Annotated[int, Field(description="What open uploads may add.")]
    quota_bytes: int
    used_nodes: Annotated[int, Field(description="Files and folders, trashed ones too.")]
    quota_nodes: int


# The second factor


class Confirmation(Request):
    """That it is you who asks."""

    password: Password = None


class SecondFactorConfirmation(Request):
    """That it is you who asks, with both factors."""

    password: Password = None
    otp: Otp


class SecondFactorCode(Request):
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{3} ?[0-9]{3}$"), Field(examples=["492039"])]


class SecondFactorProposal(Answer):
    """For an authenticator app; shown now and never again."""

    secret: Annotated[str, Field(description="In base32, to type.")]
    otpauth_url: Annotated[str, Field(description="To show as a QR code.")]


class RecoveryCodes(Answer):
    """Each replaces a code of the app, once; shown now and never again."""

    recovery_codes: list[str]


# Sign-ins


class SignIn(Answer):
    id: uuid.UUID
    user_agent: str | None
    address: Annotated[str | None, Field(description="IP address from which they signed in.")]
    created_at: datetime
    last_used_at: Annotated[datetime, Field(description="When the tokens were renewed last: every quarter of an hour.")]
    is_current: Annotated[bool, Field(description="Whether this very request belongs to it.")]


class SignInList(Answer):
    items: list[SignIn]
    next_cursor: str | None


class ChangePassword(Request):
    current_password: Password = None
    new_password: NewPassword


# Access tokens


MAX_TOKEN_TTL_S = 10 * 366 * 86400

GrantedScope = Literal["files:read", "files:write", "share", "processing", "admin"]


class NewToken(Request):
    name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"),
        Field(description="What it is for.", examples=["backup of the laptop"]),
    ]
    scopes: Annotated[
        set[GrantedScope], Field(min_length=1, description="What it is good for; `admin` only for administrators.")
    ]
    expires_in_s: Annotated[
        int | None, Field(ge=60, le=MAX_TOKEN_TTL_S, description="Seconds that it lives; null: until it is revoked.")
    ] = None


class ApiToken(Answer):
    id: uuid.UUID
    name: str
    scopes: list[GrantedScope]
    created_at: datetime
    last_used_at: Annotated[datetime | None, Field(description="To the minute.")]
    expires_at: datetime | None


class CreatedToken(ApiToken):
    token: Annotated[str, Field(description="Goes into `Authorization: Bearer`; shown now and never again.")]


class TokenList(Answer):
    items: list[ApiToken]
    next_cursor: str | None


# Administration


_QuotaBytes = Annotated[int, Field(ge=0, le=2**62)]
_QuotaNodes = Annotated[int, Field(ge=0, le=2**62)]


class NewUser(Request):
    """Without a password a person signs in at the identity provider, or sets one by mail."""

    email: Address
    password: NewPassword | None = None
    kind: Literal["person", "service"] = "person"
    quota_bytes: Annotated[_QuotaBytes | None, Field(description="Null: what new accounts have; 0 for service.")] = None
    quota_nodes: Annotated[_QuotaNodes | None, Field(description="Null: what new accounts have; 0 for service.")] = None

    @model_validator(mode="after")
    def _services_have_no_password(self) -> Self:
        if self.kind == "service" and self.password is not None:
            raise ValueError("a service account has no password")
        return self


class ChangeUser(Request):
    """What is left out stays as it is."""

    disabled: bool | None = None
    is_admin: bool | None = None
    quota_bytes: _QuotaBytes | None = None
    quota_nodes: _QuotaNodes | None = None


class ManagedUser(Account):
    disabled_at: datetime | None


class UserList(Answer):
    items: list[ManagedUser]
    next_cursor: str | None


# By mail

_MailToken = Annotated[SecretStr, Field(max_length=200, description="What stands behind `token=` in the mail's link.")]


class VerifyEmail(Request):
    token: _MailToken


class AskForReset(Request):
    email: Address


class ResetPassword(Request):
    token: _MailToken
    new_password: NewPassword


# At an OpenID provider


class OidcProvider(Answer):
    """Whether there is a provider at which people sign in, and what the button says."""

    enabled: bool
    name: str


class OidcCode(Request):
    """What the sign-in at the provider ended with, and the secret whose SHA-256 it began with."""

    code: Annotated[SecretStr, Field(max_length=2000)]
    verifier: Annotated[
        SecretStr,
        Field(min_length=43, max_length=128, description="Its SHA-256, base64url without padding, was `challenge`."),
    ]
