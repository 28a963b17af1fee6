"""What all models share: how they are read from JSON."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, ClassVar, Self

Json = Mapping[str, Any]
read_time = datetime.fromisoformat


class Model:
    """A model that is read from JSON; `_readers` convert members to types that JSON lacks."""

    __slots__ = ()
    _readers: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    @classmethod
    def from_json(cls, document: Json) -> Self:
        """Read a JSON object. Raises TypeError or ValueError for an object of another shape."""
        members = {}
        for member in fields(cls):  # type: ignore[arg-type]
            if member.name in document:
                value, read = document[member.name], cls._readers.get(member.name)
                members[member.name] = read(value) if read and value is not None else value
        return cls(**members)
