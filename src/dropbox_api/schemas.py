"""Shapes shared by the requests and answers of all features: strict requests, typed values, problem documents."""

import contextlib
import unicodedata
from datetime import MAXYEAR, UTC, datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Fingerprint = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Field(
        description="SHA-256 of the original bytes, 64 lower-case hex digits.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]

Ranges = Annotated[
    str, Field(description='A compact set of part numbers; "" is the empty set.', examples=["1-120,130"])
]


ContentType = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[ -~]*)?$"),
    Field(examples=["image/jpeg"]),
]

Label = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$",
    ),
    AfterValidator(partial(unicodedata.normalize, "NFC")),
]
"""A name for people, of an account or a device: no line breaks, no control characters, none that change the direction
of the text around it."""

OnConflict = Literal["fail", "rename", "replace"]

BATCH_ITEMS = 500
"""The most items of one batch."""


def _require_unicode(secret: SecretStr) -> SecretStr:
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        # Without the original error, which quotes the secret.
        raise ValueError("must consist of Unicode characters") from None
    return secret


Secret = Annotated[SecretStr, AfterValidator(_require_unicode)]
"""A text that logs do not show. Lone surrogates are refused: JSON can contain them, but they have no bytes to hash."""


def _check_time(refusal: str, first_year: int = 2, last_year: int = MAXYEAR - 1) -> AfterValidator:
    """Return a validator that turns times into UTC, and refuses those outside of these years with this text.

    The year 1 is the zero time of some languages, and Postgres' infinity is beyond 9999.
    """

    def to_utc(at: datetime) -> datetime:
        with contextlib.suppress(OverflowError):
            if first_year <= (utc := at.astimezone(UTC)).year <= last_year:
                return utc
        raise ValueError(refusal)

    return AfterValidator(to_utc)


FilterTime = Annotated[
    AwareDatetime, _check_time("a time to filter by lies between the years 1 and 9999 in UTC", 1, MAXYEAR)
]
FileTime = Annotated[AwareDatetime, _check_time("a file's time of modification lies between the years 2 and 9998")]
EventTime = Annotated[AwareDatetime, _check_time("the time of an event lies between the years 2 and 9998")]
EXPIRY_REFUSED = "a link expires in the future and before the year 9999: leave it out for a link without expiry"
ExpiryTime = Annotated[AwareDatetime, _check_time(EXPIRY_REFUSED)]
"""The operation refuses the past: a repeated request must get its answer even after the link has expired."""


class Request(BaseModel):
    """A body from a client. Unknown members are refused, so that a client cannot set undeclared ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """A body to a client."""

    model_config = ConfigDict(frozen=True)


class ProblemDocument(BaseModel):
    """RFC 9457 `application/problem+json`. Each code may add members: see `docs/problems.md`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable: branch on this.")]
    retryable: bool
    instance: str | None = None
    request_id: str | None = None


class Liveness(Answer):
    """Answer of `/healthz`."""

    status: Literal["ok"]


class Readiness(Answer):
    """Answer of `/readyz`: each check is "ok" or says what is wrong."""

    status: Literal["ready", "not ready"]
    database: str
    schema_: Annotated[str, Field(alias="schema")]
    store: str
    clock: str
    space: Annotated[str, Field(description="Whether the store takes new content; does not count for `status`.")]
    browsers: Annotated[
        str, Field(description="Whether pages of the configured origins may send parts; does not count for `status`.")
    ]
