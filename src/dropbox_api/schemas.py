"""Shapes that every feature's requests and answers are made of: strict requests, typed ids, problem documents."""

from datetime import MAXYEAR, UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

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

OnConflict = Literal["fail", "rename", "replace"]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("there is no such time in UTC") from None


def _of_a_change(at: datetime) -> datetime:
    if not 1 < at.year < MAXYEAR:  # some languages' zero time, and what Postgres takes for infinity
        raise ValueError("this is no time at which anything was changed")
    return at


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
ClientTime = Annotated[Time, AfterValidator(_of_a_change)]


class Request(BaseModel):
    """A body from a client: unknown members are refused, so that nobody sets what is not theirs to set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """A body to a client."""

    model_config = ConfigDict(frozen=True)


class FieldError(Answer):
    pointer: Annotated[str, Field(description="JSON pointer into the request.", examples=["/size_bytes"])]
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457 `application/problem+json`; each code may add members, see `docs/problems.md`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable: branch on this.")]
    retryable: bool
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldError] | None = None
