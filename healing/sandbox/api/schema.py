"""The types of built-in objects, read from the Python client's models, plus what those leave out.

The client's models know each field's name and type. They do not know how lists merge (strategic merge keys, the
list types of server-side apply), which is in the table at the end of this file.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

import kubernetes.client.models as client_models

from healing.sandbox.api.list_types import ATOMIC_MAPS, ATOMIC_STRUCTS, LIST_TYPES, PATCH_KEYS, RETAIN_KEYS

Kind = Literal["scalar", "struct", "map", "list", "any"]


class Type:
    """How one value is read, merged and owned."""

    __slots__ = ("_fields", "atomic", "element", "keys", "kind", "model", "name", "patch_key", "retain_keys", "scalar")

    def __init__(
        self,
        kind: Kind,
        *,
        scalar: str = "",
        name: str = "",
        model: str = "",
        fields: dict[str, Type] | None = None,
        element: Type | None = None,
        atomic: bool = False,
        keys: tuple[str, ...] = (),
        patch_key: str | None = None,
        retain_keys: bool = False,
    ) -> None:
        self.kind: Kind = kind
        #: of a scalar: int32, int64, str, bool, float, time, microtime, quantity
        self.scalar = scalar
        #: Go's name of a struct, as error messages print it
        self.name = name
        self.model = model
        #: of lists and maps
        self.element = element
        #: owned and merged as one value
        self.atomic = atomic
        #: of lists: keys of its items ("map" list), or () for a set; only if not atomic
        self.keys = keys
        #: strategic merge: the key that joins list items; empty for lists of scalars that merge
        self.patch_key = patch_key
        self.retain_keys = retain_keys
        self._fields = fields

    @property
    def fields(self) -> dict[str, Type]:
        """A struct's fields; a model's are read when first asked for, because types recurse."""
        if self._fields is None:
            self._fields = _struct_fields(self.model) if self.kind == "struct" and self.model else {}
        return self._fields


ANY = Type("any", atomic=True)
_SCALARS = {"str": "str", "bytes": "str", "bool": "bool", "float": "float", "datetime": "time"}
_STRING = Type("scalar", scalar="str")
_QUANTITY = Type("scalar", scalar="quantity")

_INT64 = frozenset(
    "activeDeadlineSeconds terminationGracePeriodSeconds deletionGracePeriodSeconds tolerationSeconds generation "
    "observedGeneration runAsUser runAsGroup fsGroup expirationSeconds startingDeadlineSeconds sizeBytes "
    "limitBytes tailLines sinceSeconds gracePeriodSeconds revision".split()
)
_MICRO_TIMES = frozenset({"renewTime", "acquireTime", "eventTime", "lastObservedTime"})
_QUANTITY_MAPS = frozenset(
    "limits requests capacity allocatable hard used default defaultRequest max min maxLimitRequestRatio overhead "
    "allocatedResources".split()
)
_QUANTITIES = frozenset({"sizeLimit", "divisor", "averageValue", "value_of_metric", "podFixed"})
_QUANTITY_FIELDS = {("V2MetricTarget", "value"), ("V2MetricValueStatus", "value")}


def _go_name(model: str) -> str:
    return re.sub(r"^(V\d+((alpha|beta)\d+)?|CoreV1|EventsV1|DiscoveryV1|RbacV1|StorageV1|AuthenticationV1)", "", model)


def _parse(text: str, model: str, json_name: str) -> Type:
    if text.startswith(("List[", "list[")):
        return _list_type(text[5:-1], model, json_name)
    if text.startswith(("Dict[", "dict(")):
        value = text[5:-1].split(",", 1)[1].strip()
        atomic = (model, json_name) in ATOMIC_MAPS
        element = _QUANTITY if json_name in _QUANTITY_MAPS and value == "str" else _parse(value, model, json_name)
        return Type("map", element=element, atomic=atomic)
    if text == "int":
        return Type("scalar", scalar="int64" if json_name in _INT64 else "int32")
    if text in _SCALARS:
        if text == "datetime" and json_name in _MICRO_TIMES:
            return Type("scalar", scalar="microtime")
        if json_name in _QUANTITIES or (model, json_name) in _QUANTITY_FIELDS:
            return _QUANTITY
        return Type("scalar", scalar=_SCALARS[text])
    if text == "object":
        return ANY
    return model_type(text)


def _list_type(element: str, model: str, json_name: str) -> Type:
    keys = LIST_TYPES.get((model, json_name), LIST_TYPES.get(("*", json_name)))
    patch = PATCH_KEYS.get((model, json_name), PATCH_KEYS.get(("*", json_name)))
    return Type(
        "list",
        element=_parse(element, model, json_name),
        atomic=keys is None,
        keys=keys or (),
        patch_key=patch,
        retain_keys=(model, json_name) in RETAIN_KEYS,
    )


@functools.cache
def model_type(model: str) -> Type:
    """The type of a client model such as ``V1PodSpec``; fields are filled in when first asked for (types recurse)."""
    if model == "V1JSONSchemaProps":
        # CRD schemas are read by their own rules (see crd_schema.py).
        return Type("any", model=model, atomic=True)
    return Type("struct", name=_go_name(model), model=model, atomic=model in ATOMIC_STRUCTS)


def _struct_fields(model: str) -> dict[str, Type]:
    cls = getattr(client_models, model)
    fields = {}
    for python_name, json_name in cls.attribute_map.items():
        parsed = _parse(cls.openapi_types[python_name], model, json_name)
        if (model, json_name) in RETAIN_KEYS and parsed.kind == "struct":
            parsed = Type("struct", name=parsed.name, model=parsed.model, retain_keys=True)
        fields[json_name] = parsed
    if "apiVersion" in fields and "metadata" in fields:
        fields["kind"] = _STRING
    return fields


def describe(model: str, json_name: str = "") -> str:
    """The documentation of a model or of one of its fields."""
    cls = getattr(client_models, model)
    if not json_name:
        return (cls.__doc__ or "").strip().split("\n\n")[0].split("\n")[0].strip()
    for python_name, name in cls.attribute_map.items():
        if name == json_name:
            found = _model_field(cls, python_name, json_name)
            return str(found.description or "") if found is not None else ""
    return ""


def _model_field(cls: Any, python_name: str, json_name: str) -> Any:
    # Names that collide with the model's own methods are kept under another name.
    found = cls.model_fields.get(python_name)
    if found is not None:
        return found
    return next(
        (item for item in cls.model_fields.values() if json_name in (item.serialization_alias, item.alias)), None
    )


def required_fields(model: str) -> list[str]:
    """JSON names of the fields that must be given."""
    cls = getattr(client_models, model)
    names = []
    for python_name, name in cls.attribute_map.items():
        found = _model_field(cls, python_name, name)
        if found is not None and found.is_required():
            names.append(name)
    return names
