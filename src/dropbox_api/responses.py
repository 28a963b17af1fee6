"""Problems of the items of batches; and in OpenAPI: `responses=problem_responses(*BODY, EmailTaken)` at a route.

The codes that an operation answers stand beside it, once, as the classes that it raises; `openapi` turns them into
references. Nothing of FastAPI here: plain dictionaries.
"""

from typing import Any

from dropbox_api.problems import (
    BodyTooLarge,
    InternalError,
    InvalidRequest,
    MalformedJson,
    Problem,
    RateLimited,
    Unavailable,
)
from dropbox_api.schemas import ProblemDocument

BODY: tuple[type[Problem], ...] = (MalformedJson, BodyTooLarge, InvalidRequest)
"""The problems of every operation with a JSON body."""

CODES = "x-problem-codes"
DEFAULT_CODES = tuple(problem.code for problem in (RateLimited, InternalError, Unavailable))
"""The problems of every operation."""


def describe_problem(problem: Problem) -> ProblemDocument:
    """Return the problem of one item of a batch, as its answer has it."""
    return ProblemDocument.model_validate(problem.body())


def problem_responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for these problems and for those of every operation.

    Shape: one response `default`, which carries the codes until `openapi.compact` replaces it.
    """
    codes = dict.fromkeys((*(problem.code for problem in problems), *DEFAULT_CODES))
    return {"default": {"description": "A problem", CODES: list(codes)}}
