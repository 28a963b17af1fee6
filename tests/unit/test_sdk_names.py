"""The public names of the SDK: exports, errors, models, and the equality of both clients."""

import dataclasses
import inspect
import pickle
import pkgutil
import re
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

import dropbox_client
from dropbox_api.files.schemas import TREE_COLUMNS
from dropbox_api.problems import all_problems
from dropbox_client import ApiError, AsyncClient, Client, DestinationRefused, FieldError, InvalidRequest, calls, models
from dropbox_client import problems as client_problems
from dropbox_client.call import Listing
from dropbox_client.errors import ApiError as Base
from tests.support import async_resources

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.load((ROOT / "openapi.yaml").read_text(), yaml.CSafeLoader)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
RESOURCES = ROOT / "src" / "dropbox_client" / "resources"
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
NOT_IN_SDK = {
    "archives_get": "a browser opens the URL; `download_archive` gets a folder",
    "auth_start_oidc": "a browser opens it",
    "auth_get_options": "for the page of the sign-in",
    "auth_begin_passkey": "only a browser can ask an authenticator",
    "auth_sign_in_with_passkey": "as auth_begin_passkey",
    "me_begin_confirmation": "as auth_begin_passkey; `confirm` takes the password",
    "me_begin_passkey": "as auth_begin_passkey",
    "me_add_passkey": "as auth_begin_passkey",
    "auth_finish_oidc": "the identity provider sends the browser there",
    "events_stream": "for browsers; `follow` uses the long poll, which resumes in the same way",
    "files_get_content": "a redirect for browsers and curl; `sign_download` returns the same URL as JSON",
    "files_put_content": "for plain HTTP clients; `upload` sends sessions, whose parts are verified and resumed",
    "files_upload": "for plain HTTP clients, as files_put_content",
    "healthz": "for load balancers",
    "public_get_content": "a redirect for browsers and curl, as files_get_content",
    "public_get_thumbnail": "a redirect for `img` elements; `list_files` gives the small ones",
    "public_create_upload_batch": "for pages; `upload_to_link` sends one file of any size",
    "public_complete_upload_batch": "for pages, as public_create_upload_batch",
    "readyz": "for load balancers",
    "server_notify": "the store calls it",
}
"""Operations that the SDK leaves out, with the reason."""
MODELS = sorted(
    {
        value
        for module in pkgutil.iter_modules(models.__path__)
        for value in vars(import_module(f"{models.__name__}.{module.name}")).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    },
    key=lambda model: model.__name__,
)


def test_exports_are_importable_and_complete() -> None:
    for name in dropbox_client.__all__:
        getattr(dropbox_client, name)
    classes = {problem.__name__ for problem in client_problems.PROBLEMS.values()}
    assert (classes | {model.__name__ for model in MODELS}) - set(dropbox_client.__all__) == set()
    assert len(set(dropbox_client.__all__)) == len(dropbox_client.__all__)
    with pytest.raises(AttributeError):
        getattr(dropbox_client, "Nothing")  # noqa: B009 - a type checker finds it


@pytest.mark.parametrize("package", [dropbox_client, models])
def test_every_name_that_is_imported_on_use_exists(package: ModuleType) -> None:
    names = inspect.getclosurevars(package.__getattr__).nonlocals["modules"]
    assert [name for name in names if not hasattr(package, name)] == []


def test_async_resources_are_generated_from_the_blocking_ones() -> None:
    written = {path: path.read_text(encoding="utf-8") for path in async_resources.TARGET.glob("*.py")}
    assert written == async_resources.generate(), "run `make sdk`"


def test_both_clients_have_the_same_names_and_parameters() -> None:
    def describe(client: type) -> dict[str, Any]:
        members = {name: value for name, value in inspect.getmembers(client) if not name.startswith("_")}
        return {
            name: [(one.name, one.kind, one.default) for one in inspect.signature(value).parameters.values()]
            if inspect.isfunction(value)
            else None
            for name, value in members.items()
        }

    blocking, asynchronous = describe(Client), describe(AsyncClient)
    del asynchronous["pause"]
    assert blocking == asynchronous


def test_each_problem_has_a_class_with_its_members() -> None:
    server = all_problems()
    assert set(client_problems.PROBLEMS) == set(server)
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(.*)$", (ROOT / "docs" / "problems.md").read_text(), re.MULTILINE))
    offenders = []
    for code, problem in client_problems.PROBLEMS.items():
        members = set(problem.__annotations__)
        offenders += [f"{code}: {name} is not documented" for name in members if f"`{name}" not in rows[code]]
    assert offenders == []


def test_problem_document_becomes_its_class_with_typed_members() -> None:
    error = ApiError.from_json({"code": "name-taken", "status": 409, "detail": "taken", "file_id": "1"}, 409)
    assert isinstance(error, dropbox_client.NameTaken)
    assert (error.file_id, error.code, str(error)) == ("1", "name-taken", "taken")
    without = ApiError.from_json({"code": "name-taken", "status": 409}, 409)
    assert isinstance(without, dropbox_client.NameTaken)
    assert without.file_id is None
    invalid = ApiError.from_json({"code": "invalid-request", "errors": [{"pointer": "/a", "detail": "b"}]}, 422)
    assert isinstance(invalid, InvalidRequest)
    assert invalid.errors == [FieldError("/a", "b")]
    refused = ApiError.from_json({"code": "destination-refused", "problems": [{"code": "name-taken"}]}, 409)
    assert isinstance(refused, DestinationRefused)
    assert isinstance(refused.problems[0], dropbox_client.NameTaken)
    newer = ApiError.from_json({"code": "of-the-future", "status": 400, "member": 1}, 400)
    assert (type(newer), newer.code, newer.extra) == (ApiError, "of-the-future", {"member": 1})
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(copy), copy.file_id) == (type(error), "1")


@pytest.mark.parametrize(
    "model", [model for model in MODELS if model is not models.RetryLater], ids=lambda model: model.__name__
)
def test_model_agrees_with_its_schema(model: Any) -> None:
    schema = SCHEMAS[model.__name__]
    is_row = "prefixItems" in schema
    properties = dict(zip(TREE_COLUMNS, schema["prefixItems"], strict=True)) if is_row else schema["properties"]
    required = [*properties] if is_row else schema.get("required", ())
    wanted = typing.get_type_hints(model)
    own = (
        {"cursor"}
        if model is models.Event
        else {"is_new"}
        if issubclass(model, models.CreatedUpload | models.CreatedLinkUpload)
        else {"parts"}  # a mapping, sent as a list
        if model is models.CreateUpload
        else set()
    )
    offenders = []
    for field in dataclasses.fields(model):
        if field.name in own:
            continue
        if field.name not in properties:
            offenders.append(f"{field.name}: not in the schema")
            continue
        described = properties[field.name]
        if not agrees(wanted[field.name], described):
            offenders.append(f"{field.name}: {wanted[field.name]} is not {described}")
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if not has_default and field.name not in required:
            offenders.append(f"{field.name}: may be absent, and has no default")
    assert offenders == []


def test_models_convert_the_members_that_json_has_no_type_for() -> None:
    def holds(kind: Any) -> bool:
        return kind is datetime or dataclasses.is_dataclass(kind) or any(map(holds, get_args(kind)))

    sent_only = (models.CreateUpload, models.CreateLinkUpload, models.Destination, models.RetryLater)
    offenders = [
        f"{model.__name__}.{name}"
        for model in MODELS
        if model not in sent_only
        for name, kind in typing.get_type_hints(model).items()
        if not name.startswith("_") and holds(kind) and name not in getattr(model, "_readers")  # noqa: B009 - has no public name
    ]
    assert offenders == []


def agrees(kind: Any, schema: dict[str, Any]) -> bool:  # noqa: C901 - one branch for each kind of type
    """Return whether a Python type describes the same values as a schema."""
    if "$ref" in schema:
        schema = {"title": schema["$ref"].rsplit("/", 1)[1]} | SCHEMAS[schema["$ref"].rsplit("/", 1)[1]]
    if kind is Base:
        return schema.get("title") == "Problem"
    options = schema.get("anyOf")
    is_optional = type(None) in get_args(kind)
    if isinstance(schema.get("type"), list):
        return is_optional and agrees(kind, schema | {"type": schema["type"][0]})
    if options:
        some = [option for option in options if option.get("type") != "null"]
        inner = [one for one in get_args(kind) if one is not type(None)] if is_optional else [kind]
        if is_optional != (len(some) < len(options)):
            return False
        return all(any(agrees(one, option) for one in inner) for option in some)
    if is_optional:  # the server omits the member
        return any(agrees(one, schema) for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is Literal:
        return set(schema.get("enum", [schema.get("const")])) <= set(get_args(kind))
    if get_origin(kind) is list:
        return bool(schema["type"] == "array") and agrees(get_args(kind)[0], schema["items"])
    if get_origin(kind) is dict:
        return bool(schema["type"] == "object")
    if dataclasses.is_dataclass(kind):
        return schema.get("title") == kind.__name__  # type: ignore[union-attr]
    if kind is datetime:
        return schema.get("format") == "date-time"
    plain = {str: "string", int: "integer", float: "number", bool: "boolean"}
    return plain.get(kind) == schema.get("type") and schema.get("format") != "date-time"


def value_of(kind: Any) -> Any:
    """Return some value of a parameter of a call."""
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    by_kind = {
        str: "ARG",
        int: 1,
        float: 1,
        bool: False,
        datetime: datetime.now(UTC),
        models.CreateUpload: models.CreateUpload(1, models.Destination("x")),
        models.CreateLinkUpload: models.CreateLinkUpload("ref", "x", 1),
        models.Destination: models.Destination("x"),
    }
    if kind in by_kind:
        return by_kind[kind]
    if get_origin(kind) in {Sequence, Mapping, dict}:
        return {}
    return "ARG" if str in get_args(kind) else None


def called_operations() -> dict[tuple[str, str], str]:
    """Return the (method, path) of each request that `calls` builds, and its function."""
    found = {}
    for module in map(import_module, (f"{calls.__name__}.{one.name}" for one in pkgutil.iter_modules(calls.__path__))):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                hints = typing.get_type_hints(function)
                parameters = inspect.signature(function).parameters
                positional = [value_of(hints[one]) for one in parameters if parameters[one].kind is not KEYWORD_ONLY]
                named = {one: value_of(hints[one]) for one in parameters if parameters[one].kind is KEYWORD_ONLY}
                built = function(*positional, **named)
                call = built.page(None) if isinstance(built, Listing) else built
                short = f"{module.__name__.rpartition('.')[2]}.{name}"
                found[call.method, call.path.replace("ARG", "{}")] = short
    return found


def test_each_operation_of_the_api_is_in_the_sdk_or_has_a_reason() -> None:
    called = called_operations()
    operations = {
        (method.upper(), re.sub(r"{\w+}", "{}", path)): operation["operationId"]
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in {"get", "post", "put", "patch", "delete"}
    }
    missing = {name for key, name in operations.items() if key not in called}
    assert missing == set(NOT_IN_SDK)
    assert called.keys() - operations.keys() == set()
    source = (
        "".join(path.read_text() for path in RESOURCES.glob("*.py")) + (RESOURCES.parent / "exchange.py").read_text()
    )
    source += (RESOURCES.parent / "feed.py").read_text()
    assert [name for name in called.values() if f"{name}(" not in source and f"{name})" not in source] == []


def test_documentation_names_only_what_exists() -> None:
    text = (ROOT / "docs" / "sdk.md").read_text()
    for resource, method in set(re.findall(r"client\.(\w+)\.(\w+)\(", text)):
        with Client("http://127.0.0.1:1") as client:
            assert hasattr(getattr(client, resource), method), f"client.{resource}.{method}"
