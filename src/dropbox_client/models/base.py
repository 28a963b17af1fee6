"""What all models share: how they are read from JSON."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin

from dropbox_client.errors import ApiError

Json = Mapping[str, Any]
read_time = datetime.fromisoformat


def read_problem(document: Json) -> ApiError:
    """Read the problem of one item of a batch."""
    return ApiError.from_json(document, 409)


class Model:
    """A model that is read from JSON; `_readers` convert members to types that JSON lacks."""

    __slots__ = ()
    _readers: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    @classmethod
    def from_json(cls, document: Json) -> Self:
        """Read a JSON object. Raises TypeError or ValueError for an object of another shape."""
        if not isinstance(document, dict):
            raise TypeError("not an object")
        members = {}
        for name, read, kinds, item_kinds in _describe_members(cls):  # type: ignore[arg-type] # a class is hashable
            if name in document:
                value = document[name]
                if value is None or read is None:
                    _check_kind(value, kinds, item_kinds)
                members[name] = read(value) if read and value is not None else value
        return cls(**members)


@cache
def _describe_members(
    model: type[Model],
) -> list[tuple[str, Callable[[Any], Any] | None, frozenset[type], frozenset[type]]]:
    """Return name, reader, JSON types and JSON types of the items of each member; no types allow all."""
    return [
        (member.name, model._readers.get(member.name), _list_kinds(member.type), _list_item_kinds(member.type))  # noqa: SLF001
        for member in fields(model)  # type: ignore[arg-type]
    ]


def _list_kinds(annotation: Any) -> frozenset[type]:
    origin = get_origin(annotation)
    if annotation is Any:
        return frozenset()
    if annotation is float:
        return frozenset({int, float})
    if origin is Literal:
        return frozenset({str})
    if origin in {Union, UnionType}:
        return frozenset().union(*map(_list_kinds, get_args(annotation)))
    return frozenset({origin or annotation})


def _list_item_kinds(annotation: Any) -> frozenset[type]:
    return _list_kinds(get_args(annotation)[-1]) if get_origin(annotation) in {list, dict} else frozenset()


def _check_kind(value: Any, kinds: frozenset[type], item_kinds: frozenset[type]) -> None:
    """Raise TypeError for a value of another type; the value may be a secret and is not shown."""
    if kinds and type(value) not in kinds:
        raise TypeError("a member has another type")
    if item_kinds:
        for item in value.values() if isinstance(value, dict) else value:
            _check_kind(item, item_kinds, frozenset())
