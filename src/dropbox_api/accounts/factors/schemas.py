"""Passkeys in requests and answers.

Members that browsers produce and read have the names of WebAuthn Level 3 (`PublicKeyCredential.toJSON()` and
`parseCreationOptionsFromJSON()`), so that a page passes them on unchanged.
"""

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from dropbox_api.accounts.schemas import MAX_PASSWORD_CHARS, Otp
from dropbox_api.schemas import Answer, Label, Request, Secret

_Text = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=2_000)]
_LongText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=40_000)]
PasskeyTransport = Annotated[str, StringConstraints(pattern=r"^[a-z-]+$", max_length=20)]
_CredentialId = Annotated[_Text, Field(description="Id of the credential, base64url.")]
_Type = Annotated[Literal["public-key"], Field(description="Always `public-key`.")]
_ClientData = Annotated[_LongText, Field(alias="clientDataJSON", description="What the browser signed, base64url.")]

# What browsers get


class _BrowserAnswer(Answer):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class PasskeyServer(_BrowserAnswer):
    id: Annotated[str, Field(description="Domain to which the passkey belongs.")]
    name: Annotated[str, Field(description="Name of the service.")]


class PasskeyUser(_BrowserAnswer):
    id: Annotated[str, Field(description="The account, base64url.")]
    name: Annotated[str, Field(description="Address of the account.")]
    display_name: Annotated[str, Field(description="Display name of the account, else its address.")]


class PasskeyAlgorithm(_BrowserAnswer):
    type: _Type = "public-key"
    alg: Annotated[int, Field(description="Number of a COSE algorithm.")]


class PasskeyDescriptor(_BrowserAnswer):
    type: _Type = "public-key"
    id: Annotated[str, Field(description="Id of the credential, base64url.")]
    transports: Annotated[list[str], Field(description="How the browser reaches the authenticator.")]


class PasskeySelection(_BrowserAnswer):
    resident_key: Annotated[Literal["required"], Field(description="The passkey names its account.")] = "required"
    require_resident_key: Annotated[Literal[True], Field(description="The same for older browsers.")] = True
    user_verification: Annotated[
        Literal["required"], Field(description="The authenticator asks for a PIN, a finger or a face.")
    ] = "required"


class PasskeyCreationOptions(_BrowserAnswer):
    """The argument of `PublicKeyCredential.parseCreationOptionsFromJSON()`."""

    rp: PasskeyServer
    user: PasskeyUser
    challenge: Annotated[str, Field(description="Valid once, for five minutes and this sign-in; base64url.")]
    pub_key_cred_params: Annotated[list[PasskeyAlgorithm], Field(description="Accepted algorithms, best first.")]
    timeout: Annotated[int, Field(description="Milliseconds.")]
    exclude_credentials: Annotated[list[PasskeyDescriptor], Field(description="The passkeys of the account.")]
    authenticator_selection: PasskeySelection
    attestation: Annotated[Literal["none"], Field(description="The server asks for no proof of the model.")] = "none"


class PasskeyRequestOptions(_BrowserAnswer):
    """The argument of `PublicKeyCredential.parseRequestOptionsFromJSON()`."""

    challenge: Annotated[str, Field(description="Valid once, for five minutes; base64url.")]
    timeout: Annotated[int, Field(description="Milliseconds.")]
    rp_id: Annotated[str, Field(description="Domain to which the passkeys belong.")]
    allow_credentials: Annotated[
        list[PasskeyDescriptor], Field(description="Empty: the browser offers every passkey of the domain.")
    ]
    user_verification: Annotated[
        Literal["required"], Field(description="The authenticator asks for a PIN, a finger or a face.")
    ] = "required"


# What browsers send


class _BrowserRequest(Request):
    """Has members that the server does not need, such as `clientExtensionResults`; they are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class PasskeyAttestation(_BrowserRequest):
    client_data_json: _ClientData
    attestation_object: Annotated[_LongText, Field(description="Public key of the credential, base64url.")]
    transports: Annotated[
        tuple[PasskeyTransport, ...], Field(max_length=10, description="How browsers reach the authenticator.")
    ] = ()


class PasskeyRegistration(_BrowserRequest):
    """`toJSON()` of what `navigator.credentials.create()` returned."""

    id: _CredentialId
    raw_id: _CredentialId
    type: _Type
    response: PasskeyAttestation


class PasskeySignature(_BrowserRequest):
    client_data_json: _ClientData
    authenticator_data: Annotated[_LongText, Field(description="State of the authenticator, base64url.")]
    signature: Annotated[_Text, Field(description="Signature of both, base64url.")]
    user_handle: Annotated[_Text, Field(description="The account, base64url.")]


class PasskeyAssertion(_BrowserRequest):
    """`toJSON()` of what `navigator.credentials.get()` returned."""

    id: _CredentialId
    raw_id: _CredentialId
    type: _Type
    response: PasskeySignature


class AddPasskey(Request):
    name: Annotated[Label, Field(description="A name for you.", examples=["phone"])]
    credential: PasskeyRegistration


class UpdatePasskey(Request):
    name: Annotated[Label, Field(description="A name for you.", examples=["phone"])]


class SignInWithPasskey(Request):
    credential: PasskeyAssertion


class UpdatePasskeysOnly(Request):
    enabled: Annotated[bool, Field(description="Whether the password alone signs in no more.")]


class ConfirmSession(Request):
    """Exactly one of the members."""

    password: Annotated[Secret | None, Field(max_length=MAX_PASSWORD_CHARS, description="Your password.")] = None
    passkey: Annotated[
        PasskeyAssertion | None, Field(description="A passkey, for the challenge of `/v1/me/confirm/options`.")
    ] = None

    otp: Annotated[
        Otp | None,
        Field(description="A code; it proves the second factor of this sign-in, and confirms no change of factors."),
    ] = None

    @model_validator(mode="after")
    def _has_one_proof(self) -> Self:
        if [self.password, self.passkey, self.otp].count(None) != 2:
            raise ValueError("send one of password, passkey and otp")
        return self


# Passkeys of an account


class Passkey(Answer):
    id: uuid.UUID
    name: str
    created_at: datetime
    last_used_at: Annotated[datetime | None, Field(description="When it last signed in or confirmed.")]


class AddedPasskey(Passkey):
    recovery_codes: Annotated[
        list[str], Field(description="Ten codes, shown once, with the first second factor of the account; else empty.")
    ]


class PasskeyList(Answer):
    items: list[Passkey]
