"""Structural schemas of custom resources: pruning, defaulting, checking, in the API's words."""

from __future__ import annotations

import re
from typing import Any

from healing.sandbox.api.errors import Cause, duplicate, go_value, invalid_value, not_supported, required
from healing.sandbox.api.meta import clone, parse_timestamp

Schema = dict[str, Any]
_KEPT_AT_ROOT = ("apiVersion", "kind", "metadata")
_INT_OR_STRING = "x-kubernetes-int-or-string"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"

NOT_CHECKED = Cause(
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation",
    "<nil>",
)


def prune(value: Any, schema: Schema, unknown: list[str], path: str = "") -> Any:
    """Drop what the schema does not know, and note the paths; nulls of fields that are not nullable go too."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [prune(item, items, unknown, f"{path}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    preserve = schema.get(_PRESERVE) or (not properties and extra is None and schema.get("type") != "object")
    result = {}
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if key in _KEPT_AT_ROOT and (not path or schema.get(_EMBEDDED)):
            result[key] = item
        elif key in properties:
            if item is None and not properties[key].get("nullable"):
                continue
            result[key] = prune(item, properties[key], unknown, here)
        elif isinstance(extra, dict):
            result[key] = prune(item, extra, unknown, here)
        elif extra is True or preserve:
            result[key] = item
        else:
            unknown.append(here)
    return result


def set_defaults(value: Any, schema: Schema) -> None:
    """Fill in ``default`` values, in place."""
    if isinstance(value, list):
        for item in value:
            set_defaults(item, schema.get("items") or {})
        return
    if not isinstance(value, dict):
        return
    for key, child in (schema.get("properties") or {}).items():
        if key not in value and "default" in child:
            value[key] = clone(child["default"])
        if key in value:
            set_defaults(value[key], child)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for key, item in value.items():
            if key not in (schema.get("properties") or {}):
                set_defaults(item, extra)


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for name in ("object", "array", "string", "integer"):
        if isinstance(value, _TYPES[name]):
            return name
    return "number"


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def check(value: Any, schema: Schema, path: str = "") -> list[Cause]:
    """All causes; formats, ranges, enums, required fields, unions."""
    if value is None and schema.get("nullable"):
        return []
    kind = schema.get("type")
    if schema.get(_INT_OR_STRING):
        if not isinstance(value, (int, str)) or isinstance(value, bool):
            return [_wrong_type(value, "integer,string", path)]
    elif kind and not _has_type(value, kind):
        return [_wrong_type(value, kind, path)]
    causes: list[Cause] = []
    if "enum" in schema and value not in schema["enum"]:
        causes.append(
            not_supported(path, value, [item if isinstance(item, str) else go_value(item) for item in schema["enum"]])
        )
    if isinstance(value, str):
        causes += _check_string(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        causes += _check_number(value, schema, path)
    elif isinstance(value, list):
        causes += _check_list(value, schema, path)
    elif isinstance(value, dict):
        causes += _check_object(value, schema, path)
    return causes + _check_unions(value, schema, path)


def _wrong_type(value: Any, kind: str, path: str) -> Cause:
    found = _type_name(value)
    return Cause(
        "FieldValueTypeInvalid", f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"', path
    )


def _check_string(value: str, schema: Schema, path: str) -> list[Cause]:
    size = len(value)
    if "maxLength" in schema and size > schema["maxLength"]:
        return [Cause("FieldValueTooLong", f"Too long: may not be more than {schema['maxLength']} bytes", path)]
    if "minLength" in schema and size < schema["minLength"]:
        text = f"{path} in body should be at least {schema['minLength']} chars long"
        return [invalid_value(path, value, text)]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return [invalid_value(path, value, f"{path} in body should match '{schema['pattern']}'")]
    if not _is_format(value, schema.get("format", "")):
        text = f'{path} in body must be of type {schema["format"]}: "{value}"'
        return [invalid_value(path, value, text)]
    return []


def _is_format(value: str, name: str) -> bool:
    if name == "date-time":
        try:
            parse_timestamp(value)
        except ValueError:
            return False
    if name == "duration":
        return bool(re.fullmatch(r"-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+|0", value))
    if name == "uuid":
        return bool(re.fullmatch(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", value))
    return True


def _check_number(value: float, schema: Schema, path: str) -> list[Cause]:
    maximum, minimum = schema.get("maximum"), schema.get("minimum")
    if maximum is not None and (value > maximum or (schema.get("exclusiveMaximum") and value == maximum)):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        return [invalid_value(path, value, f"{path} in body should be {word} {maximum}")]
    if minimum is not None and (value < minimum or (schema.get("exclusiveMinimum") and value == minimum)):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        return [invalid_value(path, value, f"{path} in body should be {word} {minimum}")]
    factor = schema.get("multipleOf")
    if factor and value % factor:
        return [invalid_value(path, value, f"{path} in body should be a multiple of {factor}")]
    return []


def _check_list(value: list[Any], schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, item in enumerate(value):
        causes += check(item, schema.get("items") or {}, f"{path}[{index}]")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        causes.append(
            Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {schema['maxItems']} items", path)
        )
    if "minItems" in schema and len(value) < schema["minItems"]:
        text = f"{path} in body should have at least {schema['minItems']} items"
        causes.append(invalid_value(path, len(value), text))
    keys = schema.get("x-kubernetes-list-map-keys")
    seen: list[Any] = []
    for index, item in enumerate(value):
        if schema.get("x-kubernetes-list-type") == "map" and isinstance(item, dict):
            identity: Any = {key: item.get(key) for key in keys or ()}
        elif schema.get("x-kubernetes-list-type") == "set" or schema.get("uniqueItems"):
            identity = item
        else:
            break
        if identity in seen:
            causes.append(duplicate(f"{path}[{index}]", identity))
        seen.append(identity)
    return causes


def _check_object(value: dict[str, Any], schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if key in properties:
            if not (key == "metadata" and not path):
                causes += check(item, properties[key], here)
        elif isinstance(extra, dict):
            causes += check(item, extra, here)
    for key in schema.get("required") or ():
        if key not in value:
            causes.append(required(f"{path}.{key}" if path else key))
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        text = f"must have at most {schema['maxProperties']} items"
        causes.append(Cause("FieldValueTooMany", f"Too many: {len(value)}: {text}", path))
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        text = f"{path} in body should have at least {schema['minProperties']} properties"
        causes.append(invalid_value(path, len(value), text))
    return causes


def _check_unions(value: Any, schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for part in schema.get("allOf") or ():
        causes += check(value, part, path)
    if (
        "anyOf" in schema
        and not schema.get(_INT_OR_STRING)
        and all(check(value, part, path) for part in schema["anyOf"])
    ):
        causes.append(invalid_value(path, value, f'"{path}" must validate at least one schema (anyOf)'))
    if "oneOf" in schema and sum(not check(value, part, path) for part in schema["oneOf"]) != 1:
        causes.append(invalid_value(path, value, f'"{path}" must validate one and only one schema (oneOf)'))
    if "not" in schema and not check(value, schema["not"], path):
        causes.append(invalid_value(path, value, f'"{path}" must not validate the schema (not)'))
    return causes
