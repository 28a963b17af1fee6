"""Requests and answers of the account routes."""

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, EmailStr, Field, StringConstraints, model_validator

from dropbox_api.schemas import Answer, Label, Request, Secret

# Lower-cased, not case-folded: `straße.de` and `strasse.de` are different domains.
Address = Annotated[EmailStr, AfterValidator(str.lower), Field(description="Case does not matter.")]

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 128


NewPassword = Annotated[
    Secret,
    Field(
        min_length=MIN_PASSWORD_CHARS,
        max_length=MAX_PASSWORD_CHARS,
        description="8 to 128 characters of any kind, used exactly as typed.",
    ),
]
_TypedPassword = Annotated[Secret, Field(max_length=MAX_PASSWORD_CHARS)]
Password = Annotated[
    _TypedPassword | None,
    Field(description="Your password. Not needed within ten minutes of signing in or of `/v1/me/confirm`."),
]
Otp = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Za-z -]{1,40}$"),
    Field(description="A code of the authenticator app, or a recovery code.", examples=["492039"]),
]

# Signing in


class RegisterAccount(Request):
    email: Address
    password: NewPassword


class SignInForm(Request):
    """The form of an OAuth2 password grant (RFC 6749 section 4.3.2).

    Unlike every other request it may have unknown members, such as `scope` and `client_id`: by section 3.2 the token
    endpoint ignores them.
    """

    model_config = ConfigDict(extra="ignore")

    grant_type: Literal["password"]
    username: Annotated[Address, Field(description="The address of the account.")]
    password: Annotated[Secret, Field(max_length=MAX_PASSWORD_CHARS)]
    otp: Annotated[Otp | None, Field(description="A code, if the account has a second factor.")] = None


class SignInOptions(Answer):
    """What the page of the sign-in may offer."""

    registration: Annotated[bool, Field(description="Whether persons may create accounts.")]
    passkeys: Annotated[bool, Field(description="Whether browsers have passkeys at the server's public address.")]
    provider: Annotated[str | None, Field(description="Name of the OpenID provider to sign in at; null: none.")]
    sends_mail: Annotated[bool, Field(description="Whether the server sends mails, such as to reset a password.")]
    has_accounts: Annotated[bool, Field(description="Whether there is any account of a person.")]


class RefreshTokens(Request):
    """The newest refresh token of a sign-in; a page whose session is a cookie sends no body."""

    refresh_token: Annotated[Secret | None, Field(max_length=200)] = None


class AuthTokens(Answer):
    """The answer of RFC 6749 section 5.1, which defines the names."""

    access_token: Annotated[str, Field(description="Goes into `Authorization: Bearer`; a JWT, opaque to clients.")]
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, not a token
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.")]
    refresh_token: Annotated[
        str | None,
        Field(description="Valid for one refresh, which returns the next one; null: the answer set it as a cookie."),
    ]
    user_id: Annotated[uuid.UUID, Field(description="The account, so that a page notices another one's sign-in.")]


class Account(Answer):
    id: uuid.UUID
    email: str
    display_name: Annotated[
        str | None, Field(description="Shown beside the address to the people with whom the account shares.")
    ]
    kind: Annotated[Literal["person", "service"], Field(description="`service`: the account of a program.")]
    is_admin: bool
    email_verified_at: datetime | None
    second_factor: Annotated[
        bool | None, Field(description="Whether signing in needs a code; null for a personal access token.")
    ]
    passkeys_only: Annotated[
        bool | None, Field(description="Whether that code is chosen without an app; null as `second_factor`.")
    ]
    has_password: Annotated[
        bool | None,
        Field(description="Without one the user signs in at the provider, or not at all; null as `second_factor`."),
    ]
    created_at: datetime
    used_bytes: Annotated[int, Field(description="Stored bytes, every content once.")]
    reserved_bytes: Annotated[int, Field(description="Bytes that open uploads may add.")]
    quota_bytes: int
    used_nodes: Annotated[int, Field(description="Files and folders, including the trash.")]
    quota_nodes: int
    purge_at: Annotated[
        datetime | None,
        Field(description="When the account is deleted for good, unless a sign-in restores it; null: it stays."),
    ]


class UpdateAccount(Request):
    """A missing member stays as it is; null removes it."""

    display_name: Annotated[
        Label | None, Field(description="Your name, for the people with whom you share.", examples=["Ada Lovelace"])
    ] = None


# The second factor


class ConfirmWithPassword(Request):
    """Re-authentication: proof that you send the request."""

    password: Password = None


class ConfirmWithSecondFactor(Request):
    """Re-authentication with both factors."""

    password: Password = None
    otp: Annotated[Otp | None, Field(description="A code; only an account without an app omits it.")] = None


class ConfirmSecondFactor(Request):
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{3} ?[0-9]{3}$"), Field(examples=["492039"])]


class SecondFactorProposal(Answer):
    """A secret for an authenticator app; shown once."""

    secret: Annotated[str, Field(description="The secret in base32, for typing.")]
    otpauth_url: Annotated[str, Field(description="The content of a QR code.")]


class RecoveryCodes(Answer):
    """Each code replaces a code of the app, once; shown once. Empty if the account has some already."""

    recovery_codes: list[str]


# Sign-ins


class SignInSession(Answer):
    id: uuid.UUID
    user_agent: str | None
    address: Annotated[str | None, Field(description="IP address of the sign-in.")]
    created_at: datetime
    last_used_at: Annotated[
        datetime, Field(description="Time of the last refresh, which clients do every quarter of an hour.")
    ]
    is_current: Annotated[bool, Field(description="Whether this request belongs to it.")]


class SignInSessionList(Answer):
    items: list[SignInSession]
    next_cursor: str | None


class UpdatePassword(Request):
    current_password: Annotated[
        _TypedPassword | None, Field(description="Only an account without a password omits it.")
    ] = None
    new_password: NewPassword


# Access tokens


MAX_TOKEN_TTL_S = 10 * 366 * 86400

GrantedScope = Literal["files:read", "files:write", "share", "processing", "admin"]


class CreateToken(Request):
    name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"),
        Field(description="Purpose of the token.", examples=["backup of the laptop"]),
    ]
    scopes: Annotated[
        set[GrantedScope], Field(min_length=1, description="Permissions of the token; `admin` only for administrators.")
    ]
    expires_in_s: Annotated[
        int | None, Field(ge=60, le=MAX_TOKEN_TTL_S, description="Lifetime in seconds; null: until it is revoked.")
    ] = None


class PersonalToken(Answer):
    id: uuid.UUID
    name: str
    scopes: list[GrantedScope]
    created_at: datetime
    last_used_at: Annotated[datetime | None, Field(description="Precise to the minute.")]
    expires_at: datetime | None


class CreatedPersonalToken(PersonalToken):
    token: Annotated[str, Field(description="Goes into `Authorization: Bearer`; shown once.")]


class PersonalTokenList(Answer):
    items: list[PersonalToken]
    next_cursor: str | None


# Administration


_QuotaBytes = Annotated[int, Field(ge=0, le=2**62)]
_QuotaNodes = Annotated[int, Field(ge=0, le=2**62)]


class CreateUser(Request):
    """A person without a password signs in at the identity provider, or sets a password by mail."""

    email: Address
    password: NewPassword | None = None
    kind: Literal["person", "service"] = "person"
    quota_bytes: Annotated[
        _QuotaBytes | None, Field(description="Null: the default of new accounts; 0 for service.")
    ] = None
    quota_nodes: Annotated[
        _QuotaNodes | None, Field(description="Null: the default of new accounts; 0 for service.")
    ] = None

    @model_validator(mode="after")
    def _services_have_no_password(self) -> Self:
        if self.kind == "service" and self.password is not None:
            raise ValueError("a service account has no password")
        return self


class UpdateUser(Request):
    """A missing member stays as it is."""

    disabled: bool | None = None
    is_admin: bool | None = None
    quota_bytes: _QuotaBytes | None = None
    quota_nodes: _QuotaNodes | None = None


class ManagedUser(Account):
    disabled_at: datetime | None
    deleted_at: Annotated[
        datetime | None, Field(description="When the account was deleted for good: only its id is left.")
    ]


class UserList(Answer):
    items: list[ManagedUser]
    next_cursor: str | None


# By mail

_MailToken = Annotated[Secret, Field(max_length=200, description="The `token` in the link of the mail.")]


class VerifyEmail(Request):
    token: _MailToken


class RequestEmailChange(Request):
    email: Annotated[Address, Field(description="The new address, to which the mail goes. Case does not matter.")]
    password: Password = None


class RequestPasswordReset(Request):
    email: Address


class ResetPassword(Request):
    token: _MailToken
    new_password: NewPassword


# At an OpenID provider


class OidcProvider(Answer):
    """Whether there is an OpenID provider to sign in at, and the name for its button."""

    enabled: bool
    name: str


class ExchangeOidcCode(Request):
    """The code of the finished sign-in at the provider, and the verifier whose SHA-256 was its challenge."""

    code: Annotated[Secret, Field(max_length=2000)]
    verifier: Annotated[
        Secret,
        Field(
            min_length=43,
            max_length=128,
            description="A secret; its SHA-256, base64url without padding, was `challenge`.",
        ),
    ]
