"""Declare problems in OpenAPI: `@router.post(..., responses=problem_responses(*BODY, EmailTaken))`.

Each route lists the problem classes that it can answer. `ProblemDocument` is referenced by name; `app` adds it to the
components. This module returns plain dictionaries and imports nothing of FastAPI.
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
"""The problems of every operation with a JSON body."""

_ALWAYS: tuple[type[Problem], ...] = (RateLimited, InternalError, Unavailable)
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait before repeating the request.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "Always `Bearer`.", "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def problem_responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for these problems, rate-limited, internal-error and unavailable.

    Shape: one response object per status, in ascending order, with one named example per code.
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
