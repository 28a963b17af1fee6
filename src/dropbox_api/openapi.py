"""The OpenAPI document: FastAPI's own, made compact enough to read and to generate clients from.

Shared parts are components and referenced: problem responses by status, parameters that several operations take,
enums, and one schema for each problem that has members of its own. `x-problem-codes` lists what an operation answers.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any, Literal, get_args

import yaml
from pydantic import TypeAdapter

from dropbox_api import access, context
from dropbox_api.accounts import schemas as accounts
from dropbox_api.accounts.session_tokens import CookieTransport
from dropbox_api.events import journal
from dropbox_api.files import schemas as files
from dropbox_api.hooks import schemas as hooks
from dropbox_api.problems import Problem, all_problems
from dropbox_api.responses import CODES, DEFAULT_CODES
from dropbox_api.schemas import Answer, OnConflict, ProblemDocument
from dropbox_api.sharing import schemas as sharing
from dropbox_api.uploads import proof
from dropbox_api.uploads import schemas as uploads

Json = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "patch", "head")
_REF = "#/components/schemas/{model}"
_MEDIA_TYPE = "application/problem+json"
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
_SHARED_PARAMETER_USES = 2

_ENUMS: Mapping[str, Any] = {
    "AccountKind": context.Kind,
    "ActorKind": journal.ActorKind,
    "ChunkState": proof.ChunkState,
    "ContentStatus": files.ContentStatus,
    "CookieTransport": CookieTransport,
    "DeliveryState": hooks.State,
    "EventKind": journal.EventKind,
    "FileKind": Literal["file", "folder"],
    "FileOrder": files.Order,
    "FolderOnConflict": Literal["fail", "rename", "reuse"],
    "GrantedRole": sharing.GrantedRole,
    "GrantedScope": accounts.GrantedScope,
    "LinkMode": sharing.Mode,
    "NodeState": access.NodeState,
    "OnConflict": OnConflict,
    "ProcessingState": files.ProcessingState,
    "ReadinessStatus": Literal["ready", "not ready"],
    "ProofLevel": Literal["A", "B"],
    "RestoreOnConflict": Literal["fail", "rename"],
    "Role": access.Role,
    "CopyState": files.CopyState,
    "ThumbnailSize": sharing.ThumbnailSize,
    "Chunking": Literal["fixed", "cdc1"],
    "ReuseMode": uploads.ReuseMode,
    "UploadEncoding": uploads.Encoding,
    "UploadState": uploads.State,
    "UploadStrategy": Literal["single", "multipart"],
    "WebhookDisabledReason": hooks.DisabledReason,
}
"""Component names of the enums. A test requires that every enum of the document is listed here."""

_TAGS = {
    "auth": "Register, sign in, confirm an address, reset a password.",
    "me": "The caller's account: profile, sign-ins, password, second factor.",
    "tokens": "Personal access tokens of the caller.",
    "admin": "Accounts of the server, for administrators.",
    "files": "Files and folders: read, create, change, download.",
    "archives": "Zip archives by a URL that needs no token.",
    "revisions": "Earlier contents of a file.",
    "trash": "Deleted files and folders.",
    "uploads": "Upload sessions: bytes go straight to the object store.",
    "links": "Links for people without an account.",
    "grants": "Access of other accounts to a file or folder.",
    "events": "The journal of changes: long poll and stream.",
    "webhooks": "Signed notifications of changes, and their deliveries.",
    "public": "Access by the token of a link.",
    "search": "Search by name.",
    "server": "Limits of the server, and notifications of its object store.",
    "health": "Probes.",
}

_STATUS_NAMES = {
    400: "BadRequest",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "TooLarge",
    424: "FailedDependency",
    507: "StoreFull",
    422: "Invalid",
}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "minimum": 0}}
}


def compact(document: Json) -> Json:
    """Return FastAPI's document with shared parts moved into `components`. Changes `document` in place."""
    components = document["components"]
    for name in _UNUSED_SCHEMAS:
        components["schemas"].pop(name, None)
    components["schemas"] |= {name: {"type": "string", "enum": list(get_args(kind))} for name, kind in _ENUMS.items()}
    document_ref = _REF.format(model=ProblemDocument.__name__)
    for schema in _schemas(document):
        if schema.get("$ref") == document_ref:
            schema["$ref"] = _REF.format(model="Problem")
    components["schemas"].pop(ProblemDocument.__name__, None)
    components["schemas"] |= _problem_schemas()
    components["responses"] = _problem_responses()
    components["headers"] = _HEADERS
    for operation in operations(document):
        _refer_to_problems(operation)
        _describe_headers(operation, {parameter["name"] for parameter in operation.get("parameters", ())})
        tag, verb, _ = operation["operationId"].partition("_")
        operation["tags"] = [tag if verb else "health"]
    document["tags"] = [{"name": name, "description": description} for name, description in _TAGS.items()]
    _name_bodies(document)
    _strip_noise(document)
    _require_answered(components["schemas"])
    _simplify(document)
    _name_enums(document)
    components["parameters"] = _share_parameters(document)
    for name in ("schemas", "responses", "parameters"):
        components[name] = dict(sorted(components[name].items()))
    return document


def operations(document: Json) -> Iterator[Json]:
    """Yield every operation of a document."""
    for path in document["paths"].values():
        yield from (path[method] for method in METHODS if method in path)


def _problem_schemas() -> Json:
    """Return `Problem` (every problem, discriminated by `code`), `ProblemCode`, and the problems with own members."""
    base = ProblemDocument.model_json_schema(ref_template=_REF)
    del base["additionalProperties"], base["properties"]["code"]
    base["required"].remove("code")
    schemas: Json = {"ProblemBase": base, "ProblemCode": {"type": "string", "enum": sorted(all_problems())}}
    plain: list[str] = []
    mapping: dict[str, str] = {}
    for code, problem in sorted(all_problems().items()):
        members = problem.members()
        if not members:
            plain.append(code)
            mapping[code] = _REF.format(model="PlainProblem")
            continue
        name = f"{problem.__name__}Problem"
        own = _member_schemas(problem.__name__, members, schemas)
        schemas[name] = _extend_base({"code": {"const": code}, **own}, members)
        mapping[code] = _REF.format(model=name)
    schemas["PlainProblemCode"] = {"type": "string", "enum": plain}
    schemas["PlainProblem"] = _extend_base({"code": {"$ref": _REF.format(model="PlainProblemCode")}}, {})
    schemas["Problem"] = {
        "oneOf": [{"$ref": ref} for ref in sorted(set(mapping.values()))],
        "discriminator": {"propertyName": "code", "mapping": mapping},
    }
    return schemas


def _extend_base(properties: Json, members: Mapping[str, Any]) -> Json:
    required = ["code", *(name for name, annotation in members.items() if NoneType not in get_args(annotation))]
    return {
        "allOf": [
            {"$ref": _REF.format(model="ProblemBase")},
            {"type": "object", "properties": properties, "required": required},
        ]
    }


def _member_schemas(problem_name: str, members: Mapping[str, Any], schemas: Json) -> Json:
    """Return the schemas of a problem's own members; what they refer to goes into `schemas`, as do enums."""
    found: Json = {}
    for name, annotation in members.items():
        if annotation == list[Problem]:
            found[name] = {"type": "array", "items": {"$ref": _REF.format(model="Problem")}}
            continue
        schema = TypeAdapter(annotation).json_schema(ref_template=_REF)
        schemas |= schema.pop("$defs", {})
        # A member that may be None is absent in that case.
        options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
        found[name] = options[0] if options else schema
        values = found[name].get("enum")
        if values and values not in [list(get_args(kind)) for kind in _ENUMS.values()]:
            schemas[problem_name + _in_camel_case(name)] = dict(found[name])
    return found


def _problem_responses() -> Json:
    content = {_MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    responses: Json = {}
    for status, name in _STATUS_NAMES.items():
        codes = sorted(code for code, problem in all_problems().items() if problem.status == status)
        responses[name] = {"description": f"{_listed(codes)}.", "content": content}
    responses["Unauthenticated"]["headers"] = _text_header("WWW-Authenticate", "Always `Bearer`.")
    responses["Default"] = {
        "description": f"{_listed(DEFAULT_CODES)}: any operation can answer these.",
        "headers": _RETRY_AFTER
        | _text_header("X-Request-Id", "Of every answer: the id in the request's own header, or a new one.")
        | _text_header("RateLimit-Policy", "The limits of this operation.")
        | _text_header("RateLimit", "What is left of them."),
        "content": content,
    }
    return responses


def _text_header(name: str, description: str) -> Json:
    return {name: {"description": description, "schema": {"type": "string"}}}


_HEADERS: Json = {
    **_text_header("Location", "Where to go on."),
    **_text_header("Content-Disposition", "The name of the archive."),
    **_text_header("ETag", "The version of the file, as in its `etag`."),
    **_text_header("Idempotency-Replayed", "`true`: the answer of an earlier request under the key."),
}
"""Of successful answers; operations refer to them."""


def _describe_headers(operation: Json, parameters: set[str]) -> None:
    """Add the headers of successful answers; `parameters` are the names of the operation's parameters."""
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        headers: Json = {}
        if status in {"303", "307"} or (status, operation["operationId"]) == ("201", "files_upload"):
            headers["Location"] = {"$ref": "#/components/headers/Location"}
        if "application/zip" in content:
            headers["Content-Disposition"] = {"$ref": "#/components/headers/Content-Disposition"}
        if status.startswith("2") and schema.get("$ref") == _REF.format(model="File"):
            headers["ETag"] = {"$ref": "#/components/headers/ETag"}
        if status.startswith("2") and "Idempotency-Key" in parameters:
            headers["Idempotency-Replayed"] = {"$ref": "#/components/headers/Idempotency-Replayed"}
        if headers:
            response["headers"] = response.get("headers", {}) | headers


def _listed(codes: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{code}`" for code in codes)


def _refer_to_problems(operation: Json) -> None:
    """Replace the codes that `problem_responses` left by references, one for each status, and `x-problem-codes`."""
    responses = operation["responses"]
    codes: list[str] = responses.get("default", {}).get(CODES, [])
    if not codes:
        return
    known = all_problems()
    for status in sorted({known[code].status for code in codes if known[code].status in _STATUS_NAMES}):
        responses[str(status)] = {"$ref": f"#/components/responses/{_STATUS_NAMES[status]}"}
    responses["default"] = {"$ref": "#/components/responses/Default"}
    operation["responses"] = dict(sorted(responses.items()))
    operation[CODES] = sorted(set(codes) - set(DEFAULT_CODES))


def _name_bodies(document: Json) -> None:
    """Move request bodies that a route describes by itself into components, named by their operation."""
    for operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if "properties" in content.get("schema", {}):
                name = f"{_in_camel_case(operation['operationId'])}Form"
                document["components"]["schemas"][name] = content["schema"]
                content["schema"] = {"$ref": _REF.format(model=name)}


def _strip_noise(document: Json) -> None:
    """Remove titles that pydantic makes from names, and null as a default."""
    for schema in _schemas(document):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        if schema.get("default", ...) is None:
            del schema["default"]


def _require_answered(schemas: Json) -> None:
    """Mark every member of an answer as required: the server always sends all of them."""
    answers = list(Answer.__subclasses__())
    for answer in answers:
        answers += answer.__subclasses__()
        if answer.__name__ in schemas:
            schemas[answer.__name__]["required"] = list(schemas[answer.__name__]["properties"])


def _schemas(value: Any, *, is_schema: bool = False) -> Iterator[Json]:
    """Yield every schema below a value of the document, innermost first."""
    if isinstance(value, list):
        for item in value:
            yield from _schemas(item, is_schema=is_schema)
    if not isinstance(value, dict):
        return
    for key, child in value.items():
        if key in {"properties", "schemas", "$defs"} and isinstance(child, dict):
            for schema in child.values():
                yield from _schemas(schema, is_schema=True)
        elif key in {"example", "examples", "default", "const", "enum"}:
            continue
        else:
            yield from _schemas(child, is_schema=key in _SCHEMA_KEYS)
    if is_schema:
        yield value


_SCHEMA_KEYS = {"schema", "items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties", "not"}


def _simplify(document: Json) -> None:
    """Write a nullable simple type as `type: [string, "null"]`, as JSON Schema 2020-12 allows."""
    for schema in _schemas(document):
        options = schema.get("anyOf")
        if not options or len(options) != 2 or options[1] != {"type": "null"}:
            continue
        first = options[0]
        if isinstance(first.get("type"), str) and "enum" not in first and "const" not in first:
            del schema["anyOf"]
            schema |= {**first, **schema, "type": [first["type"], "null"]}


def _name_enums(document: Json) -> None:
    """Refer to a named enum wherever a schema repeats its values."""
    named = {
        tuple(schema["enum"]): name for name, schema in document["components"]["schemas"].items() if "enum" in schema
    }
    for schema in list(_schemas(document)):
        name = named.get(tuple(schema.get("enum", ())))
        if name and schema is not document["components"]["schemas"][name]:
            del schema["enum"]
            schema.pop("type", None)
            schema["$ref"] = _REF.format(model=name)


def _share_parameters(document: Json) -> Json:
    """Move the parameters that several operations take into components; return these."""
    uses = Counter(
        json.dumps(parameter, sort_keys=True)
        for operation in operations(document)
        for parameter in operation.get("parameters", ())
    )
    names: dict[str, str] = {}
    shared: Json = {}
    for operation in operations(document):
        operation_parameters = operation.get("parameters", [])
        for number, parameter in enumerate(operation_parameters):
            text = json.dumps(parameter, sort_keys=True)
            if uses[text] < _SHARED_PARAMETER_USES:
                continue
            if text not in names:
                names[text] = _parameter_name(parameter["name"], operation["operationId"], shared)
                shared[names[text]] = parameter
            operation_parameters[number] = {"$ref": f"#/components/parameters/{names[text]}"}
    return shared


def _parameter_name(name: str, operation_id: str, taken: Json) -> str:
    """Return a component name such as `FileId`; where that is taken, prefixed by the operation that comes first."""
    short = _in_camel_case(name)
    return short if short not in taken else _in_camel_case(operation_id) + short


def _in_camel_case(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.replace("-", "_").split("_"))


class _Dumper(yaml.SafeDumper):
    """Writes references and lists of plain values on one line, and text of several lines as it reads."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    is_plain = not any(isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_plain)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _represent_object(dumper: yaml.SafeDumper, members: Json) -> yaml.Node:
    is_reference = set(members) == {"$ref"}
    return dumper.represent_mapping("tag:yaml.org,2002:map", members.items(), flow_style=is_reference)


_Dumper.add_representer(dict, _represent_object)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)


def to_yaml(document: Json) -> str:
    """Return the document as the committed file has it."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def override(build: Callable[[], Json]) -> Callable[[], Json]:
    """Return a function that builds the compact document once."""
    built: list[Json] = []

    def openapi() -> Json:
        if not built:
            built.append(compact(build()))
        return built[0]

    return openapi
