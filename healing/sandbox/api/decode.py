"""Reading what clients send: JSON or YAML, then the kind's types, with Go's words for what is wrong."""

from __future__ import annotations

import re
from typing import Any

import orjson
import yaml

from healing.sandbox.api.quantity import parse_quantity
from healing.sandbox.api.schema import ANY, Type, model_type
from healing.sandbox.ports import Object

_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_TIME_RE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_INT_LIMITS = {"int32": 2**31, "int64": 2**63}


class DecodeError(ValueError):
    """The value is not of the kind's type; the message is the API's."""


class _YamlLoader(yaml.SafeLoader):
    """YAML as JSON: times stay strings."""


_YamlLoader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_json(body: bytes) -> Any:
    """DecodeError in Go's words if ``body`` is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DecodeError(_go_json_error(error)) from error


def parse_yaml(body: bytes) -> Any:
    if body.lstrip()[:1] in (b"{", b"["):
        return parse_json(body)
    try:
        return yaml.load(body, Loader=_YamlLoader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise DecodeError(f"error converting YAML to JSON: yaml: {error}") from error


def _go_json_error(error: orjson.JSONDecodeError) -> str:
    text, position = error.doc, error.pos
    rest = text[position:].lstrip() if position < len(text) else ""
    # An unfinished literal is reported where it begins.
    if not rest or "unexpected end" in error.msg or "EOF" in error.msg:
        return "unexpected end of JSON input"
    before = text[:position].rstrip()
    if before.endswith(("{",)):
        where = "looking for beginning of object key string"
    elif before.endswith(("[", ":")):
        where = "looking for beginning of value"
    elif before.endswith(","):
        where = (
            "looking for beginning of object key string"
            if before.count("{") > before.count("}")
            else "looking for beginning of value"
        )
    elif not before:
        where = "looking for beginning of value"
    else:
        where = "after object key:value pair"
    return f"invalid character '{rest[0]}' {where}"


class Decoder:
    """Turns parsed JSON into an object of a type: drops nulls, collects unknown fields."""

    def __init__(self, later: frozenset[tuple[str, str]] = frozenset()) -> None:
        """``later``: (type, field) that this version of the API does not have yet."""
        self._later = later
        #: paths such as ``spec.replicass``, in the order found
        self.unknown: list[str] = []

    def decode(self, value: Any, kind: Type) -> Object:
        return self._struct(value, kind, "", "")

    def _value(self, value: Any, kind: Type, parent: str, path: str, go_path: str) -> Any:
        if kind.kind == "any":
            return value
        if kind.kind == "scalar":
            return self._scalar(value, kind, parent, go_path)
        if kind.kind == "list":
            return self._list(value, kind, parent, path, go_path)
        if kind.kind == "map":
            return self._map(value, kind, parent, path, go_path)
        if not isinstance(value, dict):
            raise DecodeError(_mismatch(value, parent, go_path, f"v1.{kind.name}"))
        return self._struct(value, kind, path, go_path)

    def _struct(self, value: Object, kind: Type, path: str, go_path: str) -> Object:
        result: Object = {}
        fields = kind.fields
        for key, item in value.items():
            child = fields.get(key)
            here = f"{path}.{key}" if path else key
            if child is None or (kind.model, key) in self._later:
                self.unknown.append(here)
                continue
            if item is None:
                continue
            decoded = self._value(item, child, kind.name, here, f"{go_path}.{key}" if go_path else key)
            if kind.name == "ObjectMeta" and decoded in ({}, []):
                # Written as nothing, so kept as nothing.
                continue
            result[key] = decoded
        return result

    def _list(self, value: Any, kind: Type, parent: str, path: str, go_path: str) -> Any:
        element = kind.element or ANY
        if not isinstance(value, list):
            raise DecodeError(_mismatch(value, parent, go_path, f"[]{_go_type(element)}"))
        return [
            self._value(item, element, parent, f"{path}[{index}]", go_path)
            for index, item in enumerate(value)
            if item is not None
        ]

    def _map(self, value: Any, kind: Type, parent: str, path: str, go_path: str) -> Any:
        element = kind.element or ANY
        if not isinstance(value, dict):
            raise DecodeError(_mismatch(value, parent, go_path, f"map[string]{_go_type(element)}"))
        return {
            key: self._value(item, element, parent, f"{path}.{key}", go_path)
            for key, item in value.items()
            if item is not None
        }

    @staticmethod
    def _scalar(value: Any, kind: Type, parent: str, go_path: str) -> Any:
        name = kind.scalar
        if name == "str":
            if not isinstance(value, str):
                raise DecodeError(_mismatch(value, parent, go_path, "string"))
            return value
        if name == "bool":
            if not isinstance(value, bool):
                raise DecodeError(_mismatch(value, parent, go_path, "bool"))
            return value
        if name in _INT_LIMITS:
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if (
                isinstance(value, bool)
                or not isinstance(value, int)
                or not -_INT_LIMITS[name] <= value < _INT_LIMITS[name]
            ):
                raise DecodeError(_mismatch(value, parent, go_path, name))
            return value
        if name == "float":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise DecodeError(_mismatch(value, parent, go_path, "float64"))
            return value
        if name == "quantity":
            return _quantity(value)
        return _time(value, _MICRO_LAYOUT if name == "microtime" else _TIME_LAYOUT)


def _quantity(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise DecodeError("unable to parse quantity's suffix")
    text = str(value)
    try:
        parse_quantity(text)
    except ValueError as error:
        raise DecodeError(str(error)) from error
    return text


def _time(value: Any, layout: str) -> str:
    if not isinstance(value, str):
        raise DecodeError(f"json: cannot unmarshal {_json_type(value)} into Go value of type string")
    match = _TIME_RE.fullmatch(value)
    if match is None:
        raise DecodeError(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    if layout == _MICRO_LAYOUT and match.group(1) is None:
        rest = match.group(2)
        raise DecodeError(f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as ".000000"')
    return value


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return f"number {value}" if isinstance(value, float) else "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _go_type(kind: Type) -> str:
    if kind.kind == "struct":
        return f"v1.{kind.name}"
    return {"str": "string", "quantity": "resource.Quantity"}.get(kind.scalar, kind.scalar or "interface {}")


def _mismatch(value: Any, parent: str, go_path: str, wanted: str) -> str:
    return f"json: cannot unmarshal {_json_type(value)} into Go struct field {parent}.{go_path} of type {wanted}"


def decode_metadata(value: Any) -> Object:
    """The metadata of a custom resource, which is typed as everywhere."""
    decoder = Decoder()
    return decoder.decode(value, model_type("V1ObjectMeta"))
