"""Checks every object goes through: names, labels, annotations, immutable metadata."""

from __future__ import annotations

import re
from typing import Any

from healing.sandbox.api.errors import Cause, forbidden_field, invalid_value, required
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.ports import Object

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_RE = re.compile(_LABEL)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN)
_LABEL_1035_RE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUALIFIED_RE = re.compile(_QUALIFIED)
_LABEL_VALUE_RE = re.compile(rf"({_QUALIFIED})?")
_ENV_NAME_RE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_CONFIG_KEY_RE = re.compile(r"[-._a-zA-Z0-9]+")

_MAX_SUBDOMAIN = 253
_MAX_LABEL = 63
_MAX_ANNOTATIONS_BYTES = 256 * 1024

SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_LABEL}(\\.{_LABEL})*')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
ENV_NAME_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def name_problem(name: str, form: str) -> str:
    """Why ``name`` is not of this form (``subdomain``, ``label``, ``label1035``, ``path``); empty if it is."""
    if form == "path":
        if name in (".", ".."):
            return f"may not be '{name}'"
        return next((f"may not contain '{char}'" for char in "/%" if char in name), "")
    if form == "subdomain":
        if len(name) > _MAX_SUBDOMAIN:
            return f"must be no more than {_MAX_SUBDOMAIN} bytes"
        return "" if _SUBDOMAIN_RE.fullmatch(name) else SUBDOMAIN_TEXT
    if len(name) > _MAX_LABEL:
        return f"must be no more than {_MAX_LABEL} bytes"
    if form == "label1035":
        return "" if _LABEL_1035_RE.fullmatch(name) else LABEL_1035_TEXT
    return "" if _LABEL_RE.fullmatch(name) else LABEL_TEXT


def qualified_name_problem(name: str) -> str:
    """Why ``name`` cannot be the key of a label or annotation."""
    prefix, slash, rest = name.rpartition("/")
    if slash and (not prefix or "/" in prefix):
        return f"a qualified name must consist of alphanumeric characters, '-', '_' or '.'; {QUALIFIED_TEXT}"
    if slash:
        problem = name_problem(prefix, "subdomain")
        if problem:
            return f"prefix part {problem}"
    if not rest:
        return "name part must be non-empty"
    if len(rest) > _MAX_LABEL:
        return f"name part must be no more than {_MAX_LABEL} bytes"
    return "" if _QUALIFIED_RE.fullmatch(rest) else QUALIFIED_TEXT


def check_labels(labels: Any, path: str) -> list[Cause]:
    causes = []
    for key, value in (labels or {}).items():
        problem = qualified_name_problem(key)
        if problem:
            causes.append(invalid_value(path, key, problem))
        if len(value) > _MAX_LABEL:
            causes.append(invalid_value(path, value, f"must be no more than {_MAX_LABEL} bytes"))
        elif not _LABEL_VALUE_RE.fullmatch(value):
            causes.append(invalid_value(path, value, LABEL_VALUE_TEXT))
    return causes


def check_annotations(annotations: Any, path: str) -> list[Cause]:
    causes = []
    size = 0
    for key, value in (annotations or {}).items():
        problem = qualified_name_problem(key.lower())
        if problem:
            causes.append(invalid_value(path, key, problem))
        size += len(key) + len(value)
    if size > _MAX_ANNOTATIONS_BYTES:
        causes.append(
            Cause("FieldValueTooLong", f"Too long: may not be more than {_MAX_ANNOTATIONS_BYTES} bytes", path)
        )
    return causes


def check_config_key(key: str, path: str) -> list[Cause]:
    if _CONFIG_KEY_RE.fullmatch(key) and key not in (".", "..") and not key.startswith(".."):
        return []
    return [invalid_value(path, key, CONFIG_KEY_TEXT)]


def is_env_name(name: str) -> bool:
    return bool(name) and all(" " <= char <= "~" and char != "=" for char in name)


def check_metadata(resource: ResourceType, obj: Object, name_format: str) -> list[Cause]:
    """Causes for the metadata of a new object."""
    metadata = obj["metadata"]
    causes: list[Cause] = []
    name = metadata.get("name")
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    else:
        problem = name_problem(name, name_format)
        if problem:
            causes.append(invalid_value("metadata.name", name, problem))
    return causes + _check_common(metadata)


def _check_common(metadata: Object) -> list[Cause]:
    causes = check_labels(metadata.get("labels"), "metadata.labels")
    causes += check_annotations(metadata.get("annotations"), "metadata.annotations")
    controllers = 0
    for index, owner in enumerate(metadata.get("ownerReferences") or ()):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                causes.append(invalid_value(f"{path}.{field}", "", f"{field} must not be empty"))
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        causes.append(
            invalid_value(
                "metadata.ownerReferences",
                metadata["ownerReferences"],
                "Only one reference can have Controller set to true",
            )
        )
    for index, finalizer in enumerate(metadata.get("finalizers") or ()):
        problem = qualified_name_problem(finalizer)
        if problem:
            causes.append(invalid_value(f"metadata.finalizers[{index}]", finalizer, problem))
    return causes


def check_metadata_update(new: Object, old: Object) -> list[Cause]:
    metadata, before = new["metadata"], old["metadata"]
    if metadata.get("labels") == before.get("labels") and metadata.get("annotations") == before.get("annotations"):
        causes: list[Cause] = []
    else:
        causes = _check_common(metadata)
    if before.get("deletionTimestamp"):
        added = [item for item in metadata.get("finalizers") or () if item not in (before.get("finalizers") or ())]
        if added:
            listed = ", ".join(f'"{item}"' for item in added)
            causes.append(
                forbidden_field(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers "
                    f"[]string{{{listed}}}",
                )
            )
    return causes
