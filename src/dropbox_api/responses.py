"""Declare problems in OpenAPI: `@router.post(..., responses=problem_responses(*BODY, EmailTaken))`.

What an operation can answer stands beside it, once, as the classes that it raises. `ProblemDocument` is referenced by
name; it is a component of the document because `app` puts it there. Nothing of FastAPI here: plain dictionaries.
"""

from collections import defaultdict
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

BODY: tuple[type[Problem], ...] = (MalformedJson, BodyTooLarge, InvalidRequest)
"""What every operation with a JSON body can answer."""

_ALWAYS: tuple[type[Problem], ...] = (RateLimited, InternalError, Unavailable)
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer", "minimum": 0}}
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "Always `Bearer`.", "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def problem_responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for these problems, rate-limited, internal-error and unavailable.

    Shape: one response object a status, in ascending order, with one named example a code.
    """
    by_status: dict[int, list[type[Problem]]] = defaultdict(list)
    for problem in dict.fromkeys((*problems, *_ALWAYS)):
        by_status[problem.status].append(problem)
    return {status: _response(status, by_status[status]) for status in sorted(by_status)}


def _response(status: int, problems: list[type[Problem]]) -> dict[str, Any]:
    content = {
        "schema": {"$ref": "#/components/schemas/ProblemDocument"},
        "examples": {problem.code: {"summary": problem.title, "value": problem().body()} for problem in problems},
    }
    response: dict[str, Any] = {
        "description": "; ".join(f"`{problem.code}`: {problem.title}" for problem in problems),
        "content": {"application/problem+json": content},
    }
    if status in _HEADERS:
        response["headers"] = _HEADERS[status]
    return response
