"""Packages whose names are imported when they are used, so that `dbx` starts fast."""

from collections.abc import Callable, Mapping
from importlib import import_module


def import_names(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package; `names` has the names of each module, separated by spaces."""
    modules = {name: module for module, listed in names.items() for name in listed.split()}

    def import_name(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return import_name
